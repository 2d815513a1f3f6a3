"""Evals in SQL."""

from typing import Any, Literal

import sqlalchemy as sa

from regrade.core.entities import Creation, Eval, Page, PageRequest
from regrade.core.errors import InvalidError
from regrade.core.jsontext import dumps, loads
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.pages import position_of, taken
from regrade.store.runs import delete_runs
from regrade.store.tables import evals, runs
from regrade.types.json import JsonObject

_INSERT = evals.insert()


@repeats_undone
class SqlEvals:
    """ports.EvalStore. A deleted eval's row stays, empty, so that cursors which name it still page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, eval_: Eval, creation: Creation | None) -> None:
        """Store a new eval."""
        with self._database.write() as connection:
            connection.execute(
                _INSERT,
                {
                    "id": eval_.id,
                    "project": eval_.project,
                    "name": eval_.name,
                    "created_at": eval_.created_at,
                    "updated_at": eval_.updated_at,
                    "data_source_config": dumps(eval_.data_source_config),
                    "testing_criteria": dumps(eval_.testing_criteria),
                    "metadata": dumps(eval_.metadata),
                    "extra": dumps(eval_.extra) if eval_.extra else None,
                },
            )
            remember(connection, creation, eval_.id)

    def get(self, project: str, eval_id: str) -> Eval | None:
        """The eval, if this project has it."""
        query = sa.select(evals).where(_is(project, eval_id))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return _eval(row) if row else None

    def page(self, project: str, page: PageRequest, *, order_by: Literal["created_at", "updated_at"]) -> Page[Eval]:
        """One page in the order of (`order_by`, id)."""
        # Ids sort by time of creation, to the nanosecond.
        sort = (evals.c.id,) if order_by == "created_at" else (evals.c.updated_at, evals.c.id)
        query = sa.select(evals).where(evals.c.project == project, evals.c.deleted_at.is_(None))
        with self._database.read() as connection:
            if page.after is not None:
                cursor = connection.execute(
                    sa.select(*sort).where(evals.c.id == page.after, evals.c.project == project)
                ).first()
                if cursor is None:
                    raise InvalidError(f"No eval found with id '{page.after}' to page after.", param="after")
                here, there = sa.tuple_(*sort), position_of(sort, cursor)
                query = query.where(here > there if page.order == "asc" else here < there)
            directed = [column.asc() if page.order == "asc" else column.desc() for column in sort]
            found = connection.execute(query.order_by(*directed).limit(page.limit + 1)).mappings()
            rows, has_more = taken(found, page.limit)
        return Page(data=[_eval(row) for row in rows], has_more=has_more)

    def update(
        self, project: str, eval_id: str, *, name: str | None, metadata: JsonObject | None, now: int
    ) -> bool:
        """Replace what is given."""
        values: dict[str, Any] = {"updated_at": now}
        if name is not None:
            values["name"] = name
        if metadata is not None:
            values["metadata"] = dumps(metadata)
        with self._database.write() as connection:
            return connection.execute(evals.update().where(_is(project, eval_id)).values(values)).rowcount > 0

    def delete(self, project: str, eval_id: str, *, now: int) -> bool:
        """Delete the eval and all its runs in one commit."""
        with self._database.write() as connection:
            found = connection.execute(
                evals.update()
                .where(_is(project, eval_id))
                .values(
                    deleted_at=now,
                    name="",
                    data_source_config=b"{}",
                    testing_criteria=b"[]",
                    metadata=b"{}",
                    extra=None,
                )
            ).rowcount
            if found:
                delete_runs(connection, runs.c.eval_id == eval_id, now=now)
            return found > 0


def _is(project: str, eval_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(evals.c.id == eval_id, evals.c.project == project, evals.c.deleted_at.is_(None))


def _eval(row: sa.RowMapping) -> Eval:
    return Eval(
        id=row["id"],
        project=row["project"],
        name=row["name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        data_source_config=loads(row["data_source_config"]),
        testing_criteria=loads(row["testing_criteria"]),
        metadata=loads(row["metadata"]),
        extra=loads(row["extra"]) if row["extra"] is not None else {},
    )
