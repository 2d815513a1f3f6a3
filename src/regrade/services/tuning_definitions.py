"""What a new fine-tuning job is to do, checked against files, models and graders before anything is stored."""

from collections.abc import Mapping
from dataclasses import dataclass

from regrade.core import criteria, metadata
from regrade.core.entities import File
from regrade.core.errors import InvalidError
from regrade.core.fine_tuning import with_defaults
from regrade.core.item_schema import ItemSchema
from regrade.core.parsing import parse
from regrade.core.training_job import Method
from regrade.graders import build
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import Sandbox
from regrade.ports.store import FileStore
from regrade.ports.system import Clock
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.types.fine_tuning import (
    CreateFineTuningJob,
    DpoMethod,
    ReinforcementMethod,
    SupervisedMethod,
    WandbIntegration,
)
from regrade.types.json import JsonObject, JsonValue
from regrade.types.wire import Received

_PURPOSE = "fine-tune"
_BLOCKS: Mapping[str, type[Received]] = {
    "supervised": SupervisedMethod,
    "dpo": DpoMethod,
    "reinforcement": ReinforcementMethod,
}
_AZURE_DPO = ("beta", "l2_multiplier")
_RESPONSE_FORMATS = ("json_schema", "json_object", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningDefinition:
    """A checked job."""

    base: str
    kind: Method
    method: JsonObject
    training: File
    validation: File | None
    metadata: JsonObject | None


class TuningDefinitions:
    """The checks of POST /fine_tuning/jobs that look beyond the body."""

    def __init__(
        self, files: FileStore, models: ModelPort, sandbox: Sandbox, tuned: FineTunedModels, clock: Clock
    ) -> None:
        self._files = files
        self._models = models
        self._sandbox = sandbox
        self._tuned = tuned
        self._clock = clock

    def check(self, project: str, request: CreateFineTuningJob, document: JsonObject) -> TuningDefinition:
        """Raises InvalidError, with the field's path, for what could not be done."""
        given = metadata.checked(request.metadata)
        kind, method = self._method(project, request, document)
        base = self._tuned.base_of(project, request.model)
        training = self._file(project, request.training_file, "training_file")
        validation = None
        if request.validation_file is not None:
            validation = self._file(project, request.validation_file, "validation_file")
        elif kind == "reinforcement":
            raise InvalidError(
                "A reinforcement job needs a 'validation_file': its rewards say which checkpoints are the best.",
                param="validation_file",
                code="missing_required_parameter",
            )
        return TuningDefinition(
            base=base,
            kind=kind,
            method=method,
            training=training,
            validation=validation,
            metadata=given if request.metadata is not None else None,
        )

    def _method(
        self, project: str, request: CreateFineTuningJob, document: JsonObject
    ) -> tuple[Method, JsonObject]:
        """The method in normal form: its own block with every hyperparameter, blocks of others as they came."""
        kind: Method = request.method.type if request.method else "supervised"
        method: JsonObject = dict(document.get("method") or {"type": kind})
        at = f"method.{kind}"
        block: JsonObject = dict(method.get(kind) or {})
        given = block.get("hyperparameters")
        if kind == "supervised" and given is None:
            given = document.get("hyperparameters")
        if kind == "dpo" and given is None:  # Azure's clients write them right here
            given = {name: block[name] for name in _AZURE_DPO if name in block}
        parse(_BLOCKS[kind], {**block, "hyperparameters": given}, at=at)
        block["hyperparameters"] = with_defaults(kind, given or {})
        if kind == "reinforcement":
            grader = criteria.normalise(block["grader"], at=f"{at}.grader")
            build.check(grader, self._models, self._sandbox, at=f"{at}.grader")
            self._tuned.check_graders(project, [grader], at=f"{at}.grader")
            block["grader"] = grader
            block["response_format"] = _checked_format(block.get("response_format"), f"{at}.response_format")
        return kind, {**method, kind: block}

    def _file(self, project: str, file_id: str, param: str) -> File:
        file = self._files.get(project, file_id, now=self._clock.now())
        if file is None:
            raise InvalidError(f"No such File object: {file_id}.", param=param)
        if file.purpose != _PURPOSE:
            raise InvalidError(
                f"File '{file_id}' has the purpose '{file.purpose}'; fine-tuning jobs read files with the purpose "
                f"'{_PURPOSE}'.",
                param=param,
                code="invalid_file_purpose",
            )
        return file


def checked_integrations(request: CreateFineTuningJob, job_id: str) -> list[JsonObject]:
    """The integrations as answered: the run of a job is known by the job's id."""
    return [_wandb(each, job_id) for each in request.integrations or ()]


def _wandb(integration: WandbIntegration, job_id: str) -> JsonObject:
    wandb = integration.wandb
    settings: JsonObject = {"project": wandb.project, "entity": wandb.entity, "run_id": job_id}
    if wandb.name is not None:
        settings["name"] = wandb.name
    if wandb.tags:
        settings["tags"] = wandb.tags
    return {"type": "wandb", "wandb": settings}


def _checked_format(value: JsonValue, at: str) -> JsonObject | None:
    """A response format as given; the schema lies in it, or beside the type as on Azure."""
    if value is None:
        return None
    kind = value.get("type")
    if kind not in _RESPONSE_FORMATS:
        raise InvalidError(
            f"Invalid value for '{at}.type': {kind!r}. Supported values are: {', '.join(_RESPONSE_FORMATS)}.",
            param=f"{at}.type",
        )
    if kind == "json_schema":
        inner = value.get("json_schema", value)
        schema = inner.get("schema") if isinstance(inner, dict) else None
        path = f"{at}.json_schema.schema" if "json_schema" in value else f"{at}.schema"
        if not isinstance(schema, dict):
            raise InvalidError(
                f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
            )
        ItemSchema(schema, at=path)
    response_format: JsonObject = value
    return response_format
