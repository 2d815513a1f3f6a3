"""Grades that several graders give in the same way."""

from regrade.core.errors import RowError
from regrade.core.templates import MissingVariableError
from regrade.ports import Grade, GraderError


def errored(error: RowError) -> Grade:
    """The grade of a row that could not be graded."""
    kind = MissingVariableError.code if isinstance(error, MissingVariableError) else "other_error"
    return Grade(score=0.0, passed=False, error=GraderError(kind=kind, message=error.message))
