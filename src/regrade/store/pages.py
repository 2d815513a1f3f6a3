"""Pages that end early where their objects are large: a list of those goes on with its next page."""

from collections.abc import Iterable

import sqlalchemy as sa

MAX_PAGE_BYTES = 16 << 20
"""Of all objects of a page but the last: a page is held in memory whole, and a hundred objects may be too much."""


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
