"""Evals: create, list, read, rename, delete."""

from typing import Literal

from regrade.core import criteria, data_source_config, metadata
from regrade.core.entities import Creation, Eval, Page, PageRequest
from regrade.core.errors import NotFoundError
from regrade.core.item_schema import item_schema_of
from regrade.core.parsing import parse, unknown_fields
from regrade.graders.build import check_python
from regrade.ports.sandbox import Sandbox
from regrade.ports.store import EvalStore
from regrade.ports.system import Clock, Ids
from regrade.types.evals import CreateEval, UpdateEval
from regrade.types.evals import Eval as EvalAnswer
from regrade.types.json import JsonObject


class Evals:
    """What the endpoints under /evals mean."""

    def __init__(self, store: EvalStore, sandbox: Sandbox, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._sandbox = sandbox
        self._ids = ids
        self._clock = clock

    def create(self, project: str, document: JsonObject, creation: Creation | None) -> JsonObject:
        """Check a new eval, bring it to normal form, store it."""
        request = parse(CreateEval, document)
        config = data_source_config.normalise(document["data_source_config"])
        testing_criteria = criteria.normalise_all(
            document["testing_criteria"], self._ids.uuid4, item_schema=item_schema_of(config)
        )
        for index, criterion in enumerate(testing_criteria):
            check_python(criterion, self._sandbox, at=f"testing_criteria[{index}]")
        now = self._clock.now()
        eval_ = Eval(
            id=self._ids.new("eval"),
            project=project,
            name=request.name or "",
            created_at=now,
            updated_at=now,
            data_source_config=config,
            testing_criteria=testing_criteria,
            metadata=metadata.checked(request.metadata),
            extra=unknown_fields(request, EvalAnswer),
        )
        self._store.add(eval_, creation)
        return _document(eval_)

    def list(
        self, project: str, page: PageRequest, *, order_by: Literal["created_at", "updated_at"]
    ) -> Page[JsonObject]:
        """One page of the project's evals."""
        found = self._store.page(project, page, order_by=order_by)
        return Page(data=[_document(eval_) for eval_ in found.data], has_more=found.has_more)

    def get(self, project: str, eval_id: str) -> JsonObject:
        """The eval. Raises NotFoundError."""
        eval_ = self._store.get(project, eval_id)
        if eval_ is None:
            raise _unknown(eval_id)
        return _document(eval_)

    def update(self, project: str, eval_id: str, document: JsonObject) -> JsonObject:
        """Replace the name and the metadata where given; `metadata: null` clears it."""
        request = parse(UpdateEval, document)
        found = self._store.update(
            project,
            eval_id,
            name=request.name,
            metadata=metadata.checked(request.metadata) if "metadata" in document else None,
            now=self._clock.now(),
        )
        if not found:
            raise _unknown(eval_id)
        return self.get(project, eval_id)

    def delete(self, project: str, eval_id: str) -> JsonObject:
        """Delete the eval and its runs, cancelling those in progress."""
        if not self._store.delete(project, eval_id, now=self._clock.now()):
            raise _unknown(eval_id)
        return {"object": "eval.deleted", "deleted": True, "eval_id": eval_id}


def _document(eval_: Eval) -> JsonObject:
    return {
        "object": "eval",
        "id": eval_.id,
        "name": eval_.name,
        "created_at": eval_.created_at,
        "data_source_config": eval_.data_source_config,
        "testing_criteria": eval_.testing_criteria,
        "metadata": eval_.metadata,
        **eval_.extra,
    }


def _unknown(eval_id: str) -> NotFoundError:
    return NotFoundError(f"No eval found with id '{eval_id}'.", param="eval_id")
