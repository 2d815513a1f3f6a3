"""Output items: the finished rows of a run, as the bytes that were stored."""

from dataclasses import dataclass
from typing import Literal

from regrade.core.errors import InvalidError, NotFoundError
from regrade.core.ids import output_item_id, output_item_index
from regrade.core.results import ItemStatus
from regrade.ports.store import OutputItemStore
from regrade.services.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """One page of output items, each as its JSON text."""

    data: list[bytes]
    first_id: str | None
    last_id: str | None
    has_more: bool


class OutputItems:
    """What the endpoints under .../output_items mean."""

    def __init__(self, runs: Runs, store: OutputItemStore) -> None:
        self._runs = runs
        self._store = store

    def list(
        self,
        project: str,
        eval_id: str,
        run_id: str,
        *,
        after: str | None,
        limit: int,
        order: Literal["asc", "desc"],
        status: ItemStatus | None,
    ) -> ItemPage:
        """One page in row order. Raises InvalidError (param `after`) for a cursor of another run."""
        run = self._runs.find(project, eval_id, run_id)
        cursor = None
        if after is not None:
            cursor = output_item_index(run_id, after)
            if cursor is None:
                raise InvalidError(f"'{after}' is no output item of run '{run_id}' to page after.", param="after")
        page = self._store.page(run, after=cursor, limit=limit, order=order, status=status)
        return ItemPage(
            data=[body for _, body in page.data],
            first_id=output_item_id(run_id, page.data[0][0]) if page.data else None,
            last_id=output_item_id(run_id, page.data[-1][0]) if page.data else None,
            has_more=page.has_more,
        )

    def get(self, project: str, eval_id: str, run_id: str, item_id: str) -> bytes:
        """One item. Raises NotFoundError."""
        run = self._runs.find(project, eval_id, run_id)
        index = output_item_index(run_id, item_id)
        body = self._store.get(run, index) if index is not None else None
        if body is None:
            raise NotFoundError(
                f"No output item found with id '{item_id}' in run '{run_id}'.", param="output_item_id"
            )
        return body
