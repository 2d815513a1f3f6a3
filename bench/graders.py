"""What one row costs in the inner loop, stage by stage, beside the parsing of the row itself.

python bench/graders.py [ROWS]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import orjson
from processes import no_models, no_python
from texts import CONFIG, CRITERIA, write_rows

from regrade.core import samples
from regrade.core.criteria import normalise
from regrade.core.item_schema import ItemSchema
from regrade.graders.build import build
from regrade.ports.grading import Row


def cost(step: Callable[[Any], object], inputs: Iterable[Any], count: int) -> float:
    """CPU-microseconds a call, the best of three."""
    inputs = list(inputs)
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        for value in inputs:
            step(value)
        best = min(best, time.process_time() - started)
    return best / count * 1e6


def finished(grading: Coroutine[Any, Any, object]) -> None:
    """Run a grader that awaits nothing, without the cost of an event loop."""
    try:
        grading.send(None)
    except StopIteration:
        return
    raise SystemExit("a model-free grader waited for something")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=20_000)
    count = arguments.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        lines = write_rows(Path(folder) / "rows.jsonl", count).read_bytes().splitlines()
    parsed = [orjson.loads(line) for line in lines]
    rows = [Row(row["item"], samples.namespace(row["sample"])) for row in parsed]
    stages: dict[str, float] = {"parsing the row": cost(orjson.loads, lines, count)}
    stages["item schema"] = cost(ItemSchema(CONFIG["item_schema"]).check, [row.item for row in rows], count)
    stages["sample namespace"] = cost(samples.namespace, [row["sample"] for row in parsed], count)
    stages["sample as answered"] = cost(samples.answered, [row["sample"] for row in parsed], count)
    for criterion in CRITERIA:
        grader = build(normalise(criterion), no_models(), no_python().open())
        name = criterion.get("evaluation_metric", criterion["type"])
        stages[name] = cost(lambda row, grade=grader.grade: finished(grade(row)), rows, count)
    floor = stages["parsing the row"]
    for name, microseconds in stages.items():
        print(f"{name:20} {microseconds:6.2f} CPU-us a row = {microseconds / floor:5.2f} of parsing it")


if __name__ == "__main__":
    main()
