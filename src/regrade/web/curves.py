"""Numbers over the steps of a training, as lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from regrade.types.json import JsonObject
from regrade.web.charts import Chart, Label, Path, Rule

_WIDTH = 720
_HEIGHT = 200
_LEFT = 44  # room for the numbers of the vertical axis
_BOTTOM = 16
_TOP = 8
_GRID = 4
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line: its word, its name among the metrics, and its kind of stroke."""

    word: str
    name: str
    kind: str


def curves(steps: Sequence[JsonObject], total: int, wanted: Sequence[Curve]) -> Chart | None:
    """The lines over steps 1 to `total`; None where no step has any of the numbers."""
    found = {curve: _points(steps, curve.name) for curve in wanted}
    values = [value for points in found.values() for _, value in points]
    if not values:
        return None
    low, high = min(0.0, *values), max(values)
    span = (high - low) or 1.0

    def place(step: float, value: float) -> tuple[float, float]:
        across = (step - 1) / max(total - 1, 1)
        return _LEFT + (_WIDTH - _LEFT) * across, _TOP + (_HEIGHT - _TOP) * (1 - (value - low) / span)

    rules, labels = [], []
    for n in range(_GRID + 1):
        value = low + span * n / _GRID
        _, y = place(1, value)
        rules.append(Rule(_LEFT, y, _WIDTH, y, "grid"))
        labels.append(Label(_LEFT - 6, y + 3, "end", f"{value:.3g}"))
    base = _HEIGHT + _BOTTOM - 4
    labels += [Label(_LEFT, base, "start", "step 1"), Label(_WIDTH, base, "end", f"step {total:,}")]
    paths = [
        Path([place(*point) for point in points], curve.kind)
        for curve, points in found.items()
        if len(points) > 1  # one alone is no line
    ]
    said = "; ".join(_in_words(curve, points) for curve, points in found.items() if points)
    return Chart(
        kind="curves",
        width=_WIDTH,
        height=_HEIGHT + _BOTTOM,
        said=said,
        rects=(),
        rules=rules,
        paths=paths,
        labels=labels,
    )


def _in_words(curve: Curve, points: Sequence[tuple[int, float]]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    return f"{curve.word} from {start:.3g} at step {first} to {end:.3g} at step {last}"


def _points(steps: Sequence[JsonObject], name: str) -> list[tuple[int, float]]:
    """(step, number) where there is one; of many, evenly spread ones and the last."""
    found = [(step["step"], step[name]) for step in steps if isinstance(step.get(name), int | float)]
    apart = -(-len(found) // _MOST_POINTS)
    return [point for n, point in enumerate(found) if n % apart == 0 or n == len(found) - 1] if found else []
