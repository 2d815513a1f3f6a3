"""Pages of a list by cursors, so that links go both ways and cost the same however deep they lead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Order = Literal["asc", "desc"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Generic[T]):
    """One page, in the list's order, and whether there is something on either side."""

    rows: Sequence[T]
    earlier: bool
    later: bool


def window(
    fetch: Callable[[Order, str | None], tuple[Sequence[T], bool]],
    order: Order,
    *,
    after: str | None,
    before: str | None,
) -> Window[T]:
    """The page after a cursor, or the one before it; `fetch` gives rows beyond a cursor and whether more follow."""
    if before is None:
        rows, more = fetch(order, after)
        return Window(rows=rows, earlier=after is not None, later=more)
    rows, more = fetch("desc" if order == "asc" else "asc", before)
    return Window(rows=rows[::-1], earlier=more, later=True)
