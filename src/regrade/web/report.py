"""A run as its report shows it: every figure and chart, computed before a template sees it."""

from dataclasses import dataclass

from regrade.core.entities import Run, RunStatus
from regrade.core.results import Counts, CriterionTally, Tally
from regrade.core.statistics import wilson
from regrade.types.json import JsonObject
from regrade.web import charts, words

STATUS_WORDS: dict[RunStatus, str] = {
    "queued": "Queued",
    "in_progress": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "canceled": "Canceled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of rows with its 95 % interval."""

    passed: int
    total: int

    @property
    def share(self) -> float | None:
        """None where there are no rows yet."""
        return self.passed / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's."""
        return wilson(self.passed, self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionReport:
    """One row of the table of criteria."""

    name: str
    type: str
    passed: int
    failed: int
    errored: int
    rate: Rate
    mean: float | None
    interval: charts.Chart
    histogram: charts.Chart | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The part of the page that moves while the run does."""

    run: Run
    title: str
    live: bool
    status: str
    counts: Counts
    rate: Rate
    bar: charts.Chart
    rows: str
    duration: str
    speed: str
    left: str | None
    """How long the run may still take."""
    spoken: str
    """Progress for screen readers, in steps of ten percent so that it is not spoken every second."""
    criteria: list[CriterionReport]
    usage: list[JsonObject]
    """`per_model_usage` as it is now."""
    waiting: list[tuple[str, str]]
    """(endpoint, for how long) of those that are down while calls wait for them."""
    first_error: str | None


def report(run: Run, eval_: JsonObject, tally: Tally, now: int) -> RunReport:
    """The report of a run as it is `now`."""
    counts = tally.counts
    live = is_live(run)
    elapsed = _elapsed(run, now)
    return RunReport(
        run=run,
        title=title(run),
        live=live,
        status=STATUS_WORDS[run.status],
        counts=counts,
        rate=Rate(passed=counts.passed, total=counts.total),
        bar=charts.stacked_bar(counts, run.rows),
        rows=words.count(counts.total)
        if run.rows in (None, counts.total)
        else f"{words.count(counts.total)} of {words.count(run.rows or 0)}",
        duration=words.duration(elapsed),
        speed=_speed(counts.total, elapsed),
        left=_left(run, counts.total, elapsed) if live else None,
        spoken=_spoken(run, counts.total, live=live),
        criteria=[
            _criterion(criterion, tally.criteria.get(criterion["id"]) or CriterionTally())
            for criterion in eval_["testing_criteria"]
        ],
        usage=tally.usage.as_json(),
        waiting=[(endpoint, words.duration(now - since)) for endpoint, since in run.waiting.items()]
        if live
        else [],
        first_error=_reason(tally.first_error),
    )


def title(run: Run) -> str:
    """What a page calls the run."""
    return run.name or run.id


def is_live(run: Run) -> bool:
    """Whether its figures can still move."""
    return run.status in ("queued", "in_progress")


def _criterion(criterion: JsonObject, tally: CriterionTally) -> CriterionReport:
    total = tally.graded + tally.errored
    return CriterionReport(
        name=criterion["name"],
        type=criterion["type"],
        passed=tally.passed,
        failed=tally.failed,
        errored=tally.errored,
        rate=Rate(passed=tally.passed, total=total),
        mean=tally.total_score / tally.graded if tally.graded else None,
        interval=charts.interval_bar(tally.passed, total),
        histogram=charts.histogram(criterion, tally.histogram),
    )


def _elapsed(run: Run, now: int) -> int | None:
    if run.started_at is None:
        return None
    return max((now if run.finished_at is None else run.finished_at) - run.started_at, 0)


def _speed(rows: int, elapsed: int | None) -> str:
    if elapsed is None or not rows:
        return words.NOTHING
    if elapsed == 0:
        return f"> {words.count(rows)}"
    speed = rows / elapsed
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"  # noqa: PLR2004 - three digits say enough


def _left(run: Run, ended: int, elapsed: int | None) -> str | None:
    if not run.rows or not ended or not elapsed:
        return None
    return words.duration(round((run.rows - ended) * elapsed / ended))


def _spoken(run: Run, ended: int, *, live: bool) -> str:
    if not live:
        return f"This run is {STATUS_WORDS[run.status].lower()}."
    if not run.rows:
        return "This run waits to be started."
    return f"About {ended * 10 // run.rows * 10} percent of the rows are graded."


def _reason(error: str | None) -> str | None:
    """The last line says what happened where a message is the traceback of a python grader."""
    return error.rstrip().rpartition("\n")[2] if error else error
