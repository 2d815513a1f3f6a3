"""Scores how alike two texts are, by a metric of the field."""

from regrade.core.errors import RowError
from regrade.core.templates import compile_template
from regrade.graders import similarity
from regrade.graders.outcome import errored
from regrade.ports.grading import Grade, Row
from regrade.types.json import JsonObject


class TextSimilarity:
    """Passes where the score, from 0 to 1, is at least the threshold."""

    type = "text_similarity"
    asks_models = False
    waits = False

    def __init__(self, criterion: JsonObject) -> None:
        self._input = compile_template(criterion["input"]).render
        self._reference = compile_template(criterion["reference"]).render
        self._threshold: float = criterion["pass_threshold"]
        self._metric = similarity.metric(criterion["evaluation_metric"])

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        try:
            text, reference = self._input(row.item, row.sample), self._reference(row.item, row.sample)
            score = self._metric.score(text, reference)
        except RowError as error:
            return errored(error)
        return Grade(score=score, passed=score >= self._threshold, extra=self._metric.note)
