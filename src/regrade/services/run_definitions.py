"""What a new run is to do, checked against the eval, the files and the models before anything is stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from regrade.core.entities import Eval
from regrade.core.errors import InvalidError, RowError
from regrade.core.item_schema import item_schema_of
from regrade.core.jsontext import JsonTextError, loads
from regrade.core.messages import normalise
from regrade.core.sampling import SamplingPlan, compile_plan
from regrade.core.tool_secrets import split_secrets
from regrade.graders import build
from regrade.ports.blobs import Blobs
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import Sandbox
from regrade.ports.store import FileStore
from regrade.ports.system import Clock
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.sources.jsonl import unwrap
from regrade.types.json import JsonObject, JsonValue
from regrade.types.runs import CreateRun, FileContentSource, FileIdSource

_SOURCE_PURPOSES = ("evals", "fine-tune", "user_data")
_MESSAGE_PURPOSES = ("user_data", "vision", "evals")
_FIRST_LINES = 1 << 20
CONTENT = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A checked run."""

    data_source: JsonObject
    """As stored and answered: in normal form, without inline content and without secrets."""
    secrets: dict[str, str]
    """What `data_source` shows as redacted, for core/tool_secrets.with_secrets."""
    file_blob: str | None
    """The blob of the file that the rows are in, if they are in one."""
    model: str | None


class RunDefinitions:
    """The checks of POST /evals/{eval_id}/runs that look beyond the body."""

    def __init__(
        self,
        files: FileStore,
        blobs: Blobs,
        models: ModelPort,
        sandbox: Sandbox,
        tuned: FineTunedModels,
        clock: Clock,
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._models = models
        self._sandbox = sandbox
        self._tuned = tuned
        self._clock = clock

    def check(self, project: str, eval_: Eval, request: CreateRun, document: JsonObject) -> Definition:
        """Raises InvalidError, with the field's path, for what could not be done."""
        for index, criterion in enumerate(eval_.testing_criteria):
            build.check(criterion, self._models, self._sandbox, at=f"testing_criteria[{index}]")
            self._tuned.check_graders(project, [criterion], at=f"testing_criteria[{index}]")
        source = request.data_source.source
        blob = self._file_blob(project, source.id) if isinstance(source, FileIdSource) else None
        data_source = document["data_source"]
        recorded = False
        if isinstance(source, FileContentSource):
            recorded = _carry_samples(data_source["source"][CONTENT])
        elif blob is not None:
            recorded = self._file_carries_samples(blob)
        plan = compile_plan(data_source, recorded=recorded, item_schema=item_schema_of(eval_.data_source_config))
        if plan is not None:
            self._check_plan(project, plan)
        redacted, secrets = split_secrets(_without_content(data_source))
        return Definition(
            data_source=_normal(redacted), secrets=secrets, file_blob=blob, model=data_source.get("model")
        )

    def _check_plan(self, project: str, plan: SamplingPlan) -> None:
        self._tuned.check(project, plan.model, param="data_source.model")
        key = "messages" if plan.api == "chat" else "input"
        self._models.check(plan.model, plan.api, {key: [], **plan.parameters}, param="data_source.model")
        now = self._clock.now()
        for path, file_id in plan.files:
            file = self._files.get(project, file_id, now=now)
            if file is None:
                raise InvalidError(f"No such File object: {file_id}.", param=path)
            _check_purpose(file_id, file.purpose, _MESSAGE_PURPOSES, path)

    def _file_blob(self, project: str, file_id: str) -> str:
        param = "data_source.source.id"
        file = self._files.get(project, file_id, now=self._clock.now())
        if file is None:
            raise InvalidError(f"No such File object: {file_id}.", param=param)
        _check_purpose(file_id, file.purpose, _SOURCE_PURPOSES, param)
        return file.blob

    def _file_carries_samples(self, blob: str) -> bool:
        """Whether the first row of a file has a sample."""
        with self._blobs.open(blob) as source:
            head = source.read(_FIRST_LINES)
        first = next((line for line in head.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()), b"")
        try:
            return _carry_samples([loads(first)])
        except JsonTextError:
            return False


def _carry_samples(rows: Iterable[JsonValue]) -> bool:
    for row in rows:
        try:
            if unwrap(row)[1] is not None:
                return True
        except RowError:
            continue
    return False


def _check_purpose(file_id: str, purpose: str, accepted: tuple[str, ...], param: str) -> None:
    if purpose not in accepted:
        raise InvalidError(
            f"File '{file_id}' has the purpose '{purpose}'; a run reads files with one of these here: "
            f"{', '.join(accepted)}.",
            param=param,
            code="invalid_file_purpose",
        )


def _without_content(data_source: JsonObject) -> JsonObject:
    """`source` comes last, so that inline content can be written behind it in answers."""
    source = {key: value for key, value in data_source["source"].items() if key != CONTENT}
    return {**{key: value for key, value in data_source.items() if key != "source"}, "source": source}


def _normal(data_source: JsonObject) -> JsonObject:
    """Templates of messages in the form in which they are answered; null `sampling_params` where none are given."""
    if data_source["type"] == "jsonl":
        return data_source
    source = data_source.pop("source")
    normal = {"input_messages": None, "sampling_params": None, **data_source}
    messages = normal["input_messages"]
    if messages and messages["type"] == "template":
        normal["input_messages"] = {**messages, "template": normalise(messages["template"])}
    return {**normal, "source": source}
