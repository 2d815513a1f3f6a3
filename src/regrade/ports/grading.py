"""What graders are and say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from regrade.types.json import JsonObject


@dataclass(slots=True)
class Row:
    """One row on its way to the graders: what templates see."""

    item: JsonObject
    sample: JsonObject
    """The `sample.*` namespace; `{}` where the row has none."""


@dataclass(slots=True, kw_only=True)
class GraderError:
    """Why a grader could not grade: `kind` is a key of the errors object of graders/run."""

    kind: str
    message: str


@dataclass(slots=True, kw_only=True)
class Grade:
    """What one grader says of one row."""

    score: float
    passed: bool
    error: GraderError | None = None
    sample: JsonObject | None = None
    """The grader's own call, where it made one."""
    sub_scores: dict[str, float] | None = None
    """For multi: the score of each named grader."""
    sub_errors: list[GraderError] | None = None
    """For multi: what went wrong in its graders; they count as 0."""
    extra: JsonObject | None = None
    """More keys for the result entry, e.g. `label`."""
    usage: list[tuple[str, JsonObject]] | None = None
    """(model that answered, its `usage`) of every call that was made."""


class Grader(Protocol):
    """A compiled testing criterion. Built once a run, called once a row."""

    @property
    def type(self) -> str:
        """The type as on the wire."""
        ...

    @property
    def asks_models(self) -> bool:
        """Whether it asks models: a row may then take seconds, and cost."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it waits for anything, models or processes, so that rows are better graded many at once."""
        ...

    async def grade(self, row: Row) -> Grade:
        """Grade one row. Never raises for what the row holds: that is `Grade.error`."""
        ...


@runtime_checkable
class BatchGrader(Protocol):
    """A grader that hands rows on, for which several at once are cheaper."""

    async def grade_many(self, rows: Sequence[Row]) -> list[Grade]:
        """As Grader.grade, for each row in order."""
        ...
