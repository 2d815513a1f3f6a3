"""Where pages begin, and that they end early where their objects are large: the list goes on with its next page."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

MAX_PAGE_BYTES = 16 << 20
"""Of all objects of a page but the last: a page is held in memory whole, and a hundred objects may be too much."""


def position_of(sort: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[Any]:
    """A row's place in an order, to be compared with `sa.tuple_` of its columns."""
    return sa.tuple_(*(sa.literal(value, column.type) for column, value in zip(sort, values, strict=True)))


def taken(rows: Iterable[sa.RowMapping], limit: int) -> tuple[list[sa.RowMapping], bool]:
    """The rows of one page, and whether there are more of them; rows beyond are not fetched."""
    page: list[sa.RowMapping] = []
    size = 0
    for row in rows:
        if len(page) == limit or size > MAX_PAGE_BYTES:
            return page, True
        page.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, bytes))
    return page, False
