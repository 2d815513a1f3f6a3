"""Compares two texts."""

from collections.abc import Callable

from regrade.core.errors import RowError
from regrade.core.templates import compile_template
from regrade.graders.outcome import errored
from regrade.ports.grading import Grade, Row
from regrade.types.json import JsonObject

# Each takes the input and the reference; `like` means contains, not SQL's wildcards.
OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.lower() in text.lower(),
}


class StringCheck:
    """Scores 1 and passes where the comparison holds, else 0."""

    type = "string_check"
    asks_models = False
    waits = False

    def __init__(self, criterion: JsonObject) -> None:
        self._input = compile_template(criterion["input"]).render
        self._reference = compile_template(criterion["reference"]).render
        self._holds = OPERATIONS[criterion["operation"]]

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        try:
            text, reference = self._input(row.item, row.sample), self._reference(row.item, row.sample)
        except RowError as error:
            return errored(error)
        holds = self._holds(text, reference)
        return Grade(score=1.0 if holds else 0.0, passed=holds)
