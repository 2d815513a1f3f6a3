"""How far a run is, shown to a person in a terminal, to a log, or to a program."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from regrade.core import jsontext
from regrade.types.json import JsonObject

if TYPE_CHECKING:
    from rich.console import Console

Watch = Callable[[JsonObject], None]
"""Takes the run each time that it was asked for."""

_LINE_EVERY_S = 15
_LINES = 10


@contextmanager
def bar(console: "Console", total: int | None) -> Iterator[Watch]:
    """A live bar: done of total, pass rate, items a second, time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[speed]}", style="dim"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("queued", total=total, rate="", speed="")

        def watch(run: JsonObject) -> None:
            done = run["result_counts"]["total"]
            progress.update(
                task,
                description=run["status"].replace("_", " "),
                completed=done,
                rate=pass_rate(run["result_counts"]),
                speed=f"{done / (time.monotonic() - started):,.0f} items/s",
            )

        yield watch


@contextmanager
def lines(console: "Console", total: int | None) -> Iterator[Watch]:
    """A plain line at each tenth of the rows or every 15 seconds, for logs."""
    started = time.monotonic()
    last_step, last_line = 0, started

    def watch(run: JsonObject) -> None:
        nonlocal last_step, last_line
        now, done = time.monotonic(), run["result_counts"]["total"]
        step = _LINES * done // total if total else 0
        if step <= last_step and now - last_line < _LINE_EVERY_S:
            return
        last_step, last_line = step, now
        of = f" of {total:,}" if total else ""
        rate = pass_rate(run["result_counts"])
        console.print(f"{done:,}{of} rows, {rate or 'none graded yet'}, {now - started:.0f} s", highlight=False)

    yield watch


@contextmanager
def events(write: Callable[[str], object], total: int | None) -> Iterator[Watch]:
    """One JSON object a line, each time that the counts moved."""
    last: JsonObject = {}

    def watch(run: JsonObject) -> None:
        nonlocal last
        event = {
            "event": "progress",
            "run_id": run["id"],
            "status": run["status"],
            "rows": total,
            **run["result_counts"],
        }
        if event != last:
            last = event
            write(jsontext.dumps(event).decode() + "\n")

    yield watch


@contextmanager
def silent() -> Iterator[Watch]:
    """Nothing."""
    yield lambda _: None


def pass_rate(counts: JsonObject) -> str:
    """`71.7 % pass`, or nothing where no row has ended."""
    return f"{counts['passed'] / counts['total']:.1%} pass".replace("%", " %") if counts["total"] else ""
