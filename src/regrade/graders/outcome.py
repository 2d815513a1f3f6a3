"""What graders have in common: grades of rows that cannot be graded, and several graders for one row."""

import asyncio
from collections.abc import Collection

from regrade.core.errors import RowError
from regrade.core.templates import MissingVariableError
from regrade.ports.grading import Grade, Grader, GraderError, Row


def errored(error: RowError) -> Grade:
    """The grade of a row that could not be graded."""
    kind = MissingVariableError.code if isinstance(error, MissingVariableError) else "other_error"
    return Grade(score=0.0, passed=False, error=GraderError(kind=kind, message=error.message))


async def grade_all(graders: Collection[Grader], row: Row) -> list[Grade]:
    """One row by each grader, in order; those that wait do so at the same time."""
    if len(graders) == 1:
        return [await grader.grade(row) for grader in graders]
    waiting = [grader for grader in graders if grader.waits]
    if len(waiting) <= 1:
        return [await grader.grade(row) for grader in graders]
    return list(await asyncio.gather(*(grader.grade(row) for grader in graders)))
