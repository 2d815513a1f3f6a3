"""How far a fine-tuning job is, shown to a person in a terminal, to a log, or to a program."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from regrade.core import jsontext
from regrade.settings import in_continuous_integration
from regrade.types.json import JsonObject

if TYPE_CHECKING:
    from rich.console import Console

TuningWatch = Callable[[JsonObject, Sequence[JsonObject]], None]
"""Takes the job each time that it was asked for, and the events that are new."""

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 40
_WIDE = 200


@contextmanager
def shown(*, json: bool) -> Iterator[TuningWatch]:
    """The kind of progress that suits who reads it."""
    from rich.console import Console

    console = Console(stderr=json, highlight=False)
    if json:
        yield _write_events
    elif console.is_terminal and not in_continuous_integration():
        with _live(console) as watch:
            yield watch
    else:
        yield lambda _, events: _print_events(console, events)


def print_jobs(jobs: Sequence[JsonObject]) -> None:
    """A table of jobs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not jobs:
        sys.stdout.write("There are no fine-tuning jobs. Try: regrade tune FILE --model NAME\n")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Id", "Method", "Model", "Status", "Created", "Tuned model"):
        table.add_column(title, overflow="fold")
    for job in jobs:
        created = datetime.fromtimestamp(job["created_at"], UTC).strftime("%Y-%m-%d %H:%M")
        row = (
            job["id"],
            job["method"]["type"],
            job["model"],
            job["status"],
            created,
            job["fine_tuned_model"] or "",
        )
        table.add_row(*row)
    Console(highlight=False, markup=False, width=_WIDE).print(table)


def curve(values: Sequence[float], width: int = _CURVE_WIDTH) -> str:
    """Numbers as a line of bars; where they are more than the width, the mean of each stretch."""
    if not values:
        return ""
    size = max(len(values) / width, 1)
    count = min(len(values), width)
    stretches = [values[int(n * size) : max(int((n + 1) * size), int(n * size) + 1)] for n in range(count)]
    means = [sum(stretch) / len(stretch) for stretch in stretches]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)


@contextmanager
def _live(console: "Console") -> Iterator[TuningWatch]:
    """A bar of the steps and the curve of the loss, or of the reward, below the messages."""
    from rich.console import Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )
    task = bar.add_task("starting", total=None)
    seen: dict[int, float] = {}
    with Live(bar, console=console, transient=True, refresh_per_second=8) as live:

        def watch(job: JsonObject, events: Sequence[JsonObject]) -> None:
            word, key = _watched(job)
            for event in events:
                if event["type"] == "metrics":
                    data = event["data"]
                    if data.get(key) is not None:
                        seen[data["step"]] = data[key]
                    bar.update(task, completed=data["step"], total=data["total_steps"])
                else:
                    live.console.print(event["message"], markup=False, style=_STYLES[event["level"]])
            bar.update(task, description=job["status"].replace("_", " "))
            values = [seen[step] for step in sorted(seen)]
            if values:
                live.update(Group(bar, Text(f"  {word} {values[-1]:.4f}  {curve(values)}")))

        yield watch


def _watched(job: JsonObject) -> tuple[str, str]:
    """What to draw: its word and its name among the metrics."""
    if job["method"]["type"] == "reinforcement":
        return "reward", "train_mean_reward"
    return "loss", "train_loss"


_STYLES = {"info": "", "warn": "yellow", "error": "red"}


def _print_events(console: "Console", events: Sequence[JsonObject]) -> None:
    for event in events:
        console.print(event["message"], markup=False, soft_wrap=True)


def _write_events(_job: JsonObject, events: Sequence[JsonObject]) -> None:
    for event in events:
        sys.stdout.write(jsontext.dumps({"event": "told", **event}).decode() + "\n")
    sys.stdout.flush()
