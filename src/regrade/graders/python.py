"""The author's own code, called in a sandbox."""

from collections.abc import Sequence

from regrade.ports.grading import Grade, Row
from regrade.ports.sandbox import PythonGrade, PythonPrograms
from regrade.types.json import JsonObject

_DEFAULT_THRESHOLD = 0.5
_MADE_WHEN_ASKED = ("output_json", "choices")


class Python:
    """Scores what `grade(sample, item)` returns; passes where that is at least the threshold."""

    type = "python"
    asks_models = False
    waits = True

    def __init__(self, criterion: JsonObject, programs: PythonPrograms) -> None:
        self._program = programs.load(criterion["source"])
        threshold = criterion.get("pass_threshold")
        self._threshold: float = _DEFAULT_THRESHOLD if threshold is None else threshold

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        [grade] = await self.grade_many([row])
        return grade

    async def grade_many(self, rows: Sequence[Row]) -> list[Grade]:
        """See ports.BatchGrader."""
        graded = await self._program.grade([(_whole(row.sample), row.item) for row in rows])
        return [self._grade(each) for each in graded]

    def _grade(self, graded: PythonGrade) -> Grade:
        sample = {"stdout": graded.printed} if graded.printed else None
        if graded.error is not None:
            return Grade(score=0.0, passed=False, error=graded.error, sample=sample)
        return Grade(score=graded.value, passed=graded.value >= self._threshold, sample=sample)


def _whole(sample: JsonObject) -> JsonObject:
    """The sample with the keys that templates would make when they need them; None where there is nothing."""
    if not sample:
        return sample
    for key in _MADE_WHEN_ASKED:
        try:
            sample[key]
        except KeyError:
            sample[key] = None if key == "output_json" else []
    sample.setdefault("output_text", None)
    return sample
