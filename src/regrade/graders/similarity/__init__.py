"""Text similarity: one metric a name of the API, each from 0 to 1, each in bounded time."""

from collections.abc import Callable
from dataclasses import dataclass

from regrade.graders.similarity import bleu, fuzzy, gleu, meteor, rouge
from regrade.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class Metric:
    """How alike two texts are; `score(input, reference)` raises RowError for texts too long to score in time."""

    score: Callable[[str, str], float]
    note: JsonObject | None = None
    """What a result should say of how it was scored."""


def metric(name: str) -> Metric:
    """The metric called so in `evaluation_metric`; not cosine, which needs a model."""
    match name:
        case "fuzzy_match":
            return Metric(fuzzy.score)
        case "bleu":
            return Metric(bleu.score)
        case "gleu":
            return Metric(gleu.score)
        case "meteor":
            return Metric(meteor.score, {"meteor_stages": meteor.stages()})
        case "rouge_l":
            return Metric(rouge.score_l)
        case _:
            n = int(name.removeprefix("rouge_"))
            return Metric(rouge.score_n(n))
