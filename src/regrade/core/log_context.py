"""What the current task works for, so that whatever it logs can say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from regrade.core.ids import output_item_id

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is answered."""
RUN: ContextVar[str | None] = ContextVar("run", default=None)
CHUNK: ContextVar[int | None] = ContextVar("chunk", default=None)
ROW: ContextVar[int | None] = ContextVar("row", default=None)
"""A row of the run, set without being taken back: a task does one after the other."""


@contextmanager
def working_for(run_id: str, chunk: int | None = None) -> Iterator[None]:
    """While the block lasts, this task and those that it starts work for the run."""
    run, part, row = RUN.set(run_id), CHUNK.set(chunk), ROW.set(None)
    try:
        yield
    finally:
        RUN.reset(run)
        CHUNK.reset(part)
        ROW.reset(row)


def known() -> dict[str, str | int]:
    """The ids that are known here, under the names that logs give them."""
    run, row = RUN.get(), ROW.get()
    found = {
        "request_id": REQUEST.get(),
        "run_id": run,
        "chunk": CHUNK.get(),
        "item_id": output_item_id(run, row) if run is not None and row is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}
