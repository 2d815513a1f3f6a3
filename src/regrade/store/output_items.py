"""Output items in SQL: narrow facts that lists filter by, and the bodies that are served as they are."""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from regrade.core.entities import FinishedItem, Page, Run
from regrade.core.ids import item_key
from regrade.core.results import ItemStatus
from regrade.store.copying import copy_rows
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.pages import taken
from regrade.store.tables import output_item_bodies, output_items

STATUS_NUMBER: dict[ItemStatus, int] = {"pass": 1, "fail": 2, "error": 3}


@repeats_undone
class SqlOutputItems:
    """ports.OutputItemStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run: Run, index: int) -> bytes | None:
        """The item's body, if that row has ended."""
        key = item_key(run.number, index)
        query = sa.select(output_item_bodies.c.body).where(output_item_bodies.c.key == key)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def page(
        self,
        run: Run,
        *,
        after: int | None,
        limit: int,
        order: Literal["asc", "desc"],
        status: ItemStatus | None,
    ) -> Page[tuple[int, bytes]]:
        """(row index, body) in row order, beyond the row `after` where it is given."""
        base = item_key(run.number, 0)
        first, end = base, item_key(run.number + 1, 0)
        if after is not None and order == "asc":
            first = base + after + 1
        elif after is not None:
            end = base + after
        key = output_items.c.key
        # The page's keys come from the narrow table or its index alone; only then are bodies touched.
        keys = sa.select(key).where(key >= first, key < end)
        if status is not None:
            keys = keys.where(output_items.c.status == STATUS_NUMBER[status])
        keys = keys.order_by(key.asc() if order == "asc" else key.desc()).limit(limit + 1)
        body_key = output_item_bodies.c.key
        bodies = sa.select(body_key, output_item_bodies.c.body)
        bodies = bodies.order_by(body_key.asc() if order == "asc" else body_key.desc())
        with self._database.read() as connection:
            wanted = list(connection.execute(keys).scalars())
            found = connection.execute(bodies.where(body_key.in_(wanted[:limit]))).mappings()
            rows, ended_early = taken(found, limit)
        page = [(row["key"] - base, row["body"]) for row in rows]
        return Page(data=page, has_more=ended_early or len(wanted) > limit)


def insert_items(connection: sa.Connection, run_number: int, items: Sequence[FinishedItem]) -> None:
    """Insert a batch in the way that is fastest on this database."""
    base = item_key(run_number, 0)
    if connection.dialect.name == "postgresql":
        _copy(connection, base, items)
    else:
        _insert(connection, base, items)


def _copy(connection: sa.Connection, base: int, items: Sequence[FinishedItem]) -> None:
    if items:
        facts = [
            _FACTS_HEAD(4, 8, base + item.row, 2, STATUS_NUMBER[item.status], 8, item.created_at, len(item.scores))
            + item.scores
            for item in items
        ]
        copy_rows(connection, "output_items", _FACTS, facts)
        bodies = [_BODY_HEAD(2, 8, base + item.row, len(item.body)) + item.body for item in items]
        copy_rows(connection, "output_item_bodies", _BODY, bodies)


def _insert(connection: sa.Connection, base: int, items: Sequence[FinishedItem]) -> None:
    """One statement a table: executemany would give up the GIL once a row."""
    for start in range(0, len(items), _ROWS_A_STATEMENT):
        batch = items[start : start + _ROWS_A_STATEMENT]
        facts: list[Any] = []
        bodies: list[Any] = []
        for item in batch:
            key = base + item.row
            facts += (key, STATUS_NUMBER[item.status], item.created_at, item.scores)
            bodies += (key, item.body)
        connection.exec_driver_sql(_statement("output_items", _FACTS, len(batch)), tuple(facts))
        connection.exec_driver_sql(_statement("output_item_bodies", _BODY, len(batch)), tuple(bodies))


_ROWS_A_STATEMENT = 200
_FACTS = ("key", "status", "created_at", "scores")
_BODY = ("key", "body")
# Rows of a binary COPY up to their last field: how many fields, and of each its length and its value.
_FACTS_HEAD = struct.Struct("!hiqihiqi").pack
_BODY_HEAD = struct.Struct("!hiqi").pack


@cache
def _statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    """INSERT of `rows` rows; the names are constants of this module, the values are bound."""
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608
