"""What this program counts of itself: the catalogue, one process's figures, their sums, and Prometheus' text."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from regrade.core.errors import InvalidError
from regrade.types.json import JsonValue

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
_MOST_SERIES = 500
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Metric:
    """One name of the exposition."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()


HTTP = Metric(
    "regrade_http_request_seconds",
    "histogram",
    "Requests to this server, until the last byte of the answer.",
    ("method", "route", "status"),
    (*_QUICK, 30.0, 60.0, 300.0),
)
ITEMS = Metric("regrade_items_total", "counter", "Output items committed.", ("status",))
RUNS = Metric("regrade_runs", "gauge", "Runs in the database.", ("status",))
CHUNKS_WAITING = Metric(
    "regrade_chunks_waiting", "gauge", "Chunks of runs in progress that are not done; counted up to 100,000."
)
WORKERS = Metric("regrade_workers", "gauge", "Processes that grade and live, wherever they are.")
MODEL_REQUESTS = Metric(
    "regrade_model_request_seconds",
    "histogram",
    "Requests to model endpoints, each attempt by itself, by what became of it.",
    ("endpoint", "model", "outcome"),
    _SLOW,
)
MODEL_RETRIES = Metric(
    "regrade_model_retries_total", "counter", "Attempts that repeated a call.", ("endpoint", "model")
)
MODEL_LIMIT = Metric(
    "regrade_model_limit", "gauge", "Calls that the limiters allow at once now.", ("endpoint", "model")
)
MODEL_IN_FLIGHT = Metric("regrade_model_in_flight", "gauge", "Calls under way.", ("endpoint", "model"))
MODEL_WAITING = Metric("regrade_model_waiting", "gauge", "Calls that wait for their turn.", ("endpoint", "model"))
ENDPOINT_DOWN = Metric(
    "regrade_endpoint_down", "gauge", "Processes whose calls wait because the endpoint is down.", ("endpoint",)
)
WEBHOOK_ATTEMPTS = Metric(
    "regrade_webhook_attempts_total",
    "counter",
    "Attempts to deliver webhooks, by what became of them.",
    ("outcome",),
)
WEBHOOKS_WAITING = Metric("regrade_webhooks_waiting", "gauge", "Webhooks that have not been delivered yet.")
DATABASE_WRITES = Metric(
    "regrade_database_write_seconds",
    "histogram",
    "Transactions that write, from waiting for their turn to their commit.",
    (),
    _QUICK,
)
DATABASE_BYTES = Metric("regrade_database_bytes", "gauge", "Size of the database.")
SANDBOX_PROCESSES = Metric(
    "regrade_sandbox_processes", "gauge", "Processes of Python graders, by how they are confined.", ("level",)
)
SANDBOX_GRADES = Metric("regrade_sandbox_grades_total", "counter", "Rows graded by Python graders.")
SANDBOX_DEATHS = Metric(
    "regrade_sandbox_deaths_total", "counter", "Processes of Python graders that died or were ended for cause."
)
PROCESSES = Metric("regrade_processes", "gauge", "Servers and workers whose figures are in these.")
BUILD = Metric("regrade_build_info", "gauge", "1, with the version of the server that answers.", ("version",))

CATALOGUE: tuple[Metric, ...] = (
    BUILD,
    PROCESSES,
    WORKERS,
    RUNS,
    CHUNKS_WAITING,
    ITEMS,
    MODEL_REQUESTS,
    MODEL_RETRIES,
    MODEL_LIMIT,
    MODEL_IN_FLIGHT,
    MODEL_WAITING,
    ENDPOINT_DOWN,
    SANDBOX_PROCESSES,
    SANDBOX_GRADES,
    SANDBOX_DEATHS,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_WAITING,
    DATABASE_WRITES,
    DATABASE_BYTES,
    HTTP,
)
_BY_NAME = {metric.name: metric for metric in CATALOGUE}


class Series:
    """One metric with one set of labels: a number, or the buckets, then the sum, of a histogram."""

    __slots__ = ("_bounds", "values")

    def __init__(self, bounds: tuple[float, ...] = ()) -> None:
        self._bounds = bounds
        self.values = [0.0] * (len(bounds) + 2 if bounds else 1)

    def add(self, amount: float = 1.0) -> None:
        """Count."""
        self.values[0] += amount

    def observe(self, seconds: float) -> None:
        """Note one more measurement."""
        values = self.values
        values[bisect_left(self._bounds, seconds)] += 1.0
        values[-1] += seconds


class Metrics:
    """The counters and histograms of one process, and whom to ask for its gauges.

    Hot paths keep the `Series` that they count in. Additions of several threads at once may, rarely, lose one.
    """

    def __init__(self) -> None:
        self._series: dict[str, dict[Labels, Series]] = {metric.name: {} for metric in CATALOGUE}
        self._gauges: list[Callable[[], Iterable[tuple[Metric, Labels, float]]]] = []

    def of(self, metric: Metric, *labels: str) -> Series:
        """The series with these labels; where clients' words have made too many of them, one for all the rest."""
        known = self._series[metric.name]
        series = known.get(labels)
        if series is None:
            if len(known) >= _MOST_SERIES:
                labels = (_OTHER,) * len(labels)
            series = known.setdefault(labels, Series(metric.buckets))
        return series

    def ask(self, gauges: Callable[[], Iterable[tuple[Metric, Labels, float]]]) -> None:
        """Ask this for values of now whenever the figures are taken; from any thread."""
        self._gauges.append(gauges)

    def figures(self) -> "Figures":
        """All of them, as they are now."""
        found = Figures()
        for name, known in self._series.items():
            for labels, series in list(known.items()):
                found.add(name, labels, series.values)
        for gauges in self._gauges:
            for metric, labels, value in gauges():
                found.add(metric.name, labels, [value])
        return found


class Figures:
    """Figures of one process, or sums over many."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], list[float]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figures) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def add(self, name: str, labels: Labels, values: Sequence[float]) -> None:
        """Add to what is there."""
        before = self._values.get((name, labels))
        if before is None:
            self._values[name, labels] = list(values)
        elif len(before) == len(values):  # a process of another version may have other buckets
            self._values[name, labels] = [one + other for one, other in zip(before, values, strict=True)]

    def merge(self, other: "Figures") -> None:
        """Add all of them."""
        for (name, labels), values in other._values.items():  # noqa: SLF001 - its own kind
            self.add(name, labels, values)

    def lasting(self) -> "Figures":
        """Those that count what has happened, and still hold when their process is gone."""
        kept = Figures()
        kept._values = {key: values for key, values in self._values.items() if _BY_NAME[key[0]].kind != "gauge"}
        return kept

    def since(self, before: "Figures") -> "Figures":
        """What was counted after `before`, which came from the same process; gauges are of now."""
        later = Figures()
        for (name, labels), values in self._values.items():
            old = before._values.get((name, labels))  # noqa: SLF001 - its own kind
            if old is None or _BY_NAME[name].kind == "gauge":
                later.add(name, labels, values)
            else:
                later.add(name, labels, [now - then for now, then in zip(values, old, strict=True)])
        return later

    def as_json(self) -> JsonValue:
        """To be kept, and read with `from_json`."""
        return [[name, list(labels), values] for (name, labels), values in self._values.items()]

    @classmethod
    def from_json(cls, document: JsonValue) -> "Figures":
        """Read `as_json`; what another version knows and this one does not is left out."""
        found = cls()
        if not isinstance(document, list):
            raise InvalidError("Figures are a list.")
        for name, labels, values in document:
            metric = _BY_NAME.get(name)
            if metric is not None and len(labels) == len(metric.labels) and len(values) == _width(metric):
                found.add(name, tuple(labels), values)
        return found

    def text(self) -> str:
        """In Prometheus' text format, version 0.0.4."""
        lines: list[str] = []
        by_name: dict[str, list[tuple[Labels, list[float]]]] = {}
        for (name, labels), values in sorted(self._values.items()):
            by_name.setdefault(name, []).append((labels, values))
        for metric in CATALOGUE:
            lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
            for labels, values in by_name.get(metric.name, ()):
                lines += _lines(metric, labels, values)
        return "\n".join(lines) + "\n"


def _width(metric: Metric) -> int:
    return len(metric.buckets) + 2 if metric.buckets else 1


def _lines(metric: Metric, labels: Labels, values: Sequence[float]) -> Iterable[str]:
    given = dict(zip(metric.labels, labels, strict=True))
    if metric.kind != "histogram":
        yield f"{metric.name}{_labels(given)} {values[0]:.17g}"
        return
    total = 0.0
    for bound, count in zip((*map(str, metric.buckets), "+Inf"), values[:-1], strict=True):
        total += count
        yield f"{metric.name}_bucket{_labels({**given, 'le': bound})} {total:.17g}"
    yield f"{metric.name}_sum{_labels(given)} {values[-1]:.17g}"
    yield f"{metric.name}_count{_labels(given)} {total:.17g}"


def _labels(given: Mapping[str, str]) -> str:
    if not given:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in given.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
