"""How far a walk is, and how it ended: a bar for a terminal, plain lines for a log, and a table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from regrade.dump.plan import Plan, Skip
from regrade.dump.resources import RESOURCES

Watch = Callable[[Plan], None]

_LINE_EVERY_S = 15
_LISTED = 50


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """A live bar in a terminal, plain lines elsewhere."""
    with _bar(console) if console.is_terminal else _lines(console) as watch:
        yield watch


@contextmanager
def _bar(console: Console) -> Iterator[Watch]:
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests"),
        TextColumn("{task.fields[speed]}", style="dim"),
        TimeRemainingColumn(),
    )
    rate = _Rate()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, speed="")

        def watch(plan: Plan) -> None:
            speed = f"{rate.of(plan):.1f}/s"
            progress.update(task, total=plan.requests, completed=plan.answered, speed=speed)

        yield watch


@contextmanager
def _lines(console: Console) -> Iterator[Watch]:
    rate = _Rate()
    last_line = time.monotonic()

    def watch(plan: Plan) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line < _LINE_EVERY_S and plan.answered < plan.requests:
            return
        last_line = now
        speed = rate.of(plan)
        left = f", about {(plan.requests - plan.answered) / speed:.0f} s left" if speed else ""
        console.print(f"{plan.answered:,} of {plan.requests:,} requests, {speed:.1f}/s{left}", highlight=False)

    yield watch


class _Rate:
    """Requests a second of this call; what an earlier call saved does not count."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def of(self, plan: Plan) -> float:
        now = time.monotonic()
        if self._began is None:
            self._began = (now, plan.answered - 1)
        began, answered = self._began
        return (plan.answered - answered) / max(now - began, 0.1)


def show_table(console: Console, plan: Plan) -> None:
    """Found, saved and skipped, a line a resource."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title in ("Found", "Saved", "Skipped"):
        table.add_column(title, justify="right")
    for resource, tally in plan.tallies().items():
        table.add_row(RESOURCES[resource], f"{tally.found:,}", f"{tally.saved:,}", f"{tally.skipped:,}")
    console.print(table)


def show_counts(console: Console, plan: Plan) -> None:
    """What a dry run counted."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("Found", justify="right")
    unread = plan.unread()
    for resource, tally in plan.tallies().items():
        if resource == "file_contents":  # one a file record
            continue
        lists = unread.get(resource, 0)
        known = f"{tally.found:,}" if tally.found or not lists else f"in {lists:,} lists"
        table.add_row(RESOURCES[resource], known)
    console.print(table)
    console.print(f"Saving it takes at least {plan.requests_ahead():,} requests.", highlight=False)


def show_skips(console: Console, skips: list[Skip]) -> None:
    """What could not be had, each with its reason; a long list is cut, as the manifest has it in full."""
    for skip in skips[:_LISTED]:
        console.print(f"{skip.request.path}: {skip.reason}", highlight=False, markup=False, soft_wrap=True)
    if len(skips) > _LISTED:
        console.print(f"... and {len(skips) - _LISTED:,} more; the manifest lists all.", highlight=False)
