"""What graders have in common: grades of rows that cannot be graded, and several graders for one row."""

import asyncio
from collections.abc import Collection, Sequence

from regrade.core.errors import RowError
from regrade.core.templates import MissingVariableError
from regrade.ports.grading import BatchGrader, Grade, Grader, GraderError, Row


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


async def grade_rows(graders: Collection[Grader], rows: Sequence[Row]) -> list[list[Grade]]:
    """Each row by each grader, as `grade_all` does one; who hands rows on gets all of them together."""
    columns = [_column(grader, rows) for grader in graders]
    if sum(grader.waits for grader in graders) <= 1:
        grades = [await column for column in columns]
    else:
        grades = await asyncio.gather(*columns)
    return [list(of_row) for of_row in zip(*grades, strict=True)]


async def _column(grader: Grader, rows: Sequence[Row]) -> list[Grade]:
    if isinstance(grader, BatchGrader):
        return await grader.grade_many(rows)
    return [await grader.grade(row) for row in rows]
