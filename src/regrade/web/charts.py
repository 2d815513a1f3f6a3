"""Charts as shapes, which a template draws as SVG: pages need no script and no inline style for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regrade.core.judging import threshold_of
from regrade.core.results import Counts
from regrade.core.statistics import wilson
from regrade.types.json import JsonObject
from regrade.web import words

_BAR = 220
_STACK = 1000
_WIDTH = 168
_HEIGHT = 34
_AXIS = 11  # room below the bars for the two ends of the scale
_BINS = 20
_MOST_STEPS = 12  # a whole-numbered scale up to this long gets one bar a step


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar; `kind` names its colour, here and below."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line."""

    x: float
    y: float
    to_x: float
    to_y: float
    kind: str


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points."""

    points: Sequence[tuple[float, float]]
    kind: str

    @property
    def text(self) -> str:
        """As SVG has it."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True, slots=True)
class Label:
    """A short text whose start or end is at `x`."""

    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing, and the same in words for those who do not see it."""

    kind: str
    width: int
    height: int
    said: str
    rects: Sequence[Rect]
    rules: Sequence[Rule] = ()
    paths: Sequence[Path] = ()
    labels: Sequence[Label] = ()
    stretched: bool = False
    """Whether it fills the width it is given."""


def stacked_bar(counts: Counts, rows: int | None) -> Chart:
    """How the rows ended, out of all rows; what has not ended yet stays ground, so that this shows progress too."""
    whole = max(rows or 0, counts.total)
    start = 0.0
    rects = []
    for kind, number in (("pass", counts.passed), ("fail", counts.failed), ("error", counts.errored)):
        width = _STACK * number / whole if whole else 0.0
        rects.append(Rect(start, 0, width, 8, kind))
        start += width
    said = (
        f"{words.count(counts.passed)} passed, {words.count(counts.failed)} failed, "
        f"{words.count(counts.errored)} errored, of {words.count(whole)} rows"
    )
    return Chart(kind="stacked", width=_STACK, height=8, said=said, rects=rects, stretched=True)


def interval_bar(passed: int, total: int) -> Chart:
    """A pass rate with its 95 % interval as a whisker."""
    rects, rules = [Rect(0, 4, _BAR, 6, "ground")], []
    said = "Nothing graded yet"
    if total:
        rate = passed / total
        low, high = wilson(passed, total)
        rects.append(Rect(0, 4, _BAR * rate, 6, "pass"))
        left, right = (min(max(_BAR * bound, 0.5), _BAR - 0.5) for bound in (low, high))
        rules.append(Rule(left, 7, right, 7, "whisker"))
        rules += [Rule(x, 2.5, x, 11.5, "whisker") for x in (left, right)]
        said = (
            f"Pass rate {words.percent(rate)} %, 95 % interval {words.percent(low)} to {words.percent(high)} %, "
            f"{words.count(total)} rows"
        )
    return Chart(kind="interval", width=_BAR, height=14, said=said, rects=rects, rules=rules)


@dataclass(slots=True)
class Heap:
    """The rows of one bar of a histogram."""

    failed: int = 0
    passed: int = 0

    def add(self, rows: int, *, fails: bool) -> None:
        """Put rows on it."""
        if fails:
            self.failed += rows
        else:
            self.passed += rows


@dataclass(frozen=True, slots=True)
class Scale:
    """What a histogram's horizontal axis spans, and in how many bars."""

    low: float
    high: float
    bars: int
    margin: float
    """How far the bars reach beyond both ends: half a step where each step has a bar of its own."""

    def place(self, value: float) -> float:
        """Where between the left and the right edge a value lies, from 0 to 1."""
        return (value - self.low + self.margin) / (self.high - self.low + 2 * self.margin)

    def bar(self, value: float) -> int:
        """The bar that a value belongs to."""
        return min(max(int(self.place(value) * self.bars + 1e-9), 0), self.bars - 1)


def histogram(criterion: JsonObject, buckets: Mapping[str, int]) -> Chart | None:
    """How many rows got which score; those that pass and those that fail apart, the threshold between them."""
    scores = sorted((float(bucket), rows) for bucket, rows in buckets.items())
    if not scores:
        return None
    threshold = pass_threshold(criterion)
    scale = scale_of(criterion, [value for value, _ in scores])
    heaps = [Heap() for _ in range(scale.bars)]
    for value, rows in scores:
        heaps[scale.bar(value)].add(rows, fails=threshold is not None and value < threshold)
    said = (
        f"Scores of {words.count(sum(rows for _, rows in scores))} rows, from {scores[0][0]:g} to {scores[-1][0]:g}"
    )
    rules = []
    if threshold is not None:
        below = sum(heap.failed for heap in heaps)
        said += f"; {words.count(below)} of them below the threshold {threshold:g}"
        place = scale.place(threshold)
        if 0 <= place <= 1:
            x = min(max(place * _WIDTH, 0.75), _WIDTH - 0.75)
            rules.append(Rule(x, 0, x, _HEIGHT, "threshold"))
    base = _HEIGHT + _AXIS - 2
    return Chart(
        kind="histogram",
        width=_WIDTH,
        height=_HEIGHT + _AXIS,
        said=said,
        rects=_bars(heaps, "plain" if threshold is None else "pass"),
        rules=rules,
        labels=[Label(0, base, "start", f"{scale.low:g}"), Label(_WIDTH, base, "end", f"{scale.high:g}")],
    )


def pass_threshold(criterion: JsonObject) -> float | None:
    """The score from which a row passes, where the criterion has one."""
    match criterion:
        case {"type": "string_check" | "label_model"}:
            return 0.5
        case {"type": "score_model"}:
            return threshold_of(criterion)
        case {"pass_threshold": int() | float() as threshold}:
            return threshold
        case _:
            return None


def scale_of(criterion: JsonObject, values: Sequence[float]) -> Scale:
    """One bar a step for scales of few whole numbers, even bins for all others."""
    low, high = _span(criterion, values)
    continuous = criterion["type"] in ("text_similarity", "multi") or high - low > _MOST_STEPS
    if not continuous and all(value == int(value) for value in (low, high, *values)):
        return Scale(low, high, int(high - low) + 1, 0.5)
    return Scale(low, high, _BINS, 0.0)


def _span(criterion: JsonObject, values: Sequence[float]) -> tuple[float, float]:
    match criterion:
        case {"range": [int() | float() as first, int() | float() as last]}:
            low, high = float(first), float(last)
        case _:
            low, high = 0.0, 1.0
    # Nothing is left out of the picture: an unforeseen score widens it.
    return min(low, *values), max(high, *values)


def _bars(heaps: Sequence[Heap], passing: str) -> list[Rect]:
    width = _WIDTH / len(heaps)
    tallest = max(heap.failed + heap.passed for heap in heaps)
    rects = []
    for index, heap in enumerate(heaps):
        bottom = float(_HEIGHT)
        for kind, rows in (("fail", heap.failed), (passing, heap.passed)):
            if rows:
                height = max(_HEIGHT * rows / tallest, 1.0)  # few rows stay visible beside many
                bottom -= height
                rects.append(Rect(index * width + 0.5, bottom, width - 1, height, kind))
    return rects
