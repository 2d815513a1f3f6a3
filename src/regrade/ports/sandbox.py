"""User Python, confined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from regrade.ports.grading import GraderError
from regrade.types.json import JsonObject


@dataclass(slots=True, kw_only=True)
class PythonGrade:
    """What a grader's `grade(sample, item)` came to."""

    value: float = 0.0
    """What it returned: a finite number; 0 beside an error."""
    error: GraderError | None = None
    printed: str = ""
    """The beginning of what it printed."""


class PythonProgram(Protocol):
    """One grader's source, in processes of its own."""

    async def grade(self, rows: Sequence[tuple[JsonObject, JsonObject]]) -> list[PythonGrade]:
        """Call the grader with each (sample, item); what happens to its process is in the answers, never raised."""
        ...


class PythonPrograms(Protocol):
    """The programs of one run, or of one request: they share nothing with those of others."""

    def load(self, source: str) -> PythonProgram:
        """A program of its own for a source; its processes start when there is something to grade."""
        ...

    async def close(self) -> None:
        """End all processes of these programs."""
        ...


class Sandbox(Protocol):
    """Where user Python runs."""

    @property
    def level(self) -> str:
        """How it is confined: "strict", "landlock", "unsafe" (not at all), or "refuse"."""
        ...

    def check(self, *, param: str) -> None:
        """Raise InvalidError, which says what is missing and the ways out, where python graders cannot run."""
        ...

    def open(self) -> PythonPrograms:
        """A place for the programs of one run or request, on the event loop on which they will be asked."""
        ...
