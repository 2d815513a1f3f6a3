"""The query parameters of lists, and the envelope around a page."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query

from regrade.core.jsontext import dumps

After = Annotated[
    str | None, Query(description="The id of the last object of the page before, which is not repeated.")
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many objects a page has at most.")]
Order = Annotated[Literal["asc", "desc"], Query(description="By time of creation.")]
OrderBy = Annotated[
    Literal["created_at", "updated_at"], Query(description="The time by which the list is ordered.")
]
DEFAULT_LIMIT = 20


HEAD = b'{"object":"list","data":['


def envelope(data: Sequence[bytes], *, first_id: str | None, last_id: str | None, has_more: bool) -> bytes:
    """A list from objects that are JSON already; nothing is parsed again."""
    return b"".join((HEAD, b",".join(data), tail(first_id, last_id, has_more=has_more)))


def tail(first_id: str | None, last_id: str | None, *, has_more: bool) -> bytes:
    """What comes after the objects."""
    return b"]," + dumps({"first_id": first_id, "last_id": last_id, "has_more": has_more})[1:]
