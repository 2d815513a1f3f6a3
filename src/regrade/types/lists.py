"""Lists with cursors."""

from typing import Generic, Literal, TypeVar

from regrade.types.wire import Answered

T = TypeVar("T", bound=Answered)


class CursorList(Answered, Generic[T]):
    """One page of a list; `last_id` is the next page's `after`."""

    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool
