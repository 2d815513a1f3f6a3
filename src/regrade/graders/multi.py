"""Combines the scores of several graders by a formula."""

from collections.abc import Mapping, Sequence

from regrade.core.errors import RowError
from regrade.core.formula import compile_formula
from regrade.graders.outcome import errored, grade_all, grade_rows
from regrade.ports.grading import Grade, Grader, Row
from regrade.types.json import JsonObject


class Multi:
    """Passes where the formula's value is at least the threshold; graders that err count as 0 in it."""

    type = "multi"

    def __init__(self, criterion: JsonObject, graders: Mapping[str, Grader]) -> None:
        self._graders = graders
        self.asks_models = any(grader.asks_models for grader in graders.values())
        self.waits = any(grader.waits for grader in graders.values())
        self._formula = compile_formula(criterion["calculate_output"], graders)
        self._threshold: float = criterion["pass_threshold"]

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        return self._combined(await grade_all(self._graders.values(), row))

    async def grade_many(self, rows: Sequence[Row]) -> list[Grade]:
        """See ports.BatchGrader."""
        return [self._combined(grades) for grades in await grade_rows(self._graders.values(), rows)]

    def _combined(self, of_graders: Sequence[Grade]) -> Grade:
        grades = dict(zip(self._graders, of_graders, strict=True))
        scores = {name: grade.score for name, grade in grades.items()}
        try:
            score = self._formula.value(scores)
        except RowError as error:
            grade = errored(error)
        else:
            grade = Grade(score=score, passed=score >= self._threshold)
        grade.sub_scores = scores
        grade.sub_errors = [sub.error for sub in grades.values() if sub.error is not None]
        grade.usage = [call for sub in grades.values() for call in sub.usage or ()]
        return grade
