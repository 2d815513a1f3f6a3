"""text_similarity with the metric cosine: an embedding model says how close two texts are."""

import math
from collections.abc import Sequence

from regrade.core.errors import ModelError, RowError
from regrade.core.templates import compile_template
from regrade.graders.outcome import errored
from regrade.ports.grading import Grade, GraderError, Row
from regrade.ports.models import ModelAnswer, ModelCall, ModelPort
from regrade.types.json import JsonObject

DEFAULT_MODEL = "text-embedding-3-large"
"""What the hosted graders ask; an alias gives it to any embedding model."""


class CosineSimilarity:
    """Passes where the cosine of the two embeddings, kept within 0 and 1, is at least the threshold."""

    type = "text_similarity"
    asks_models = True
    waits = True

    def __init__(self, criterion: JsonObject, models: ModelPort, project: str) -> None:
        self._input = compile_template(criterion["input"]).render
        self._reference = compile_template(criterion["reference"]).render
        self._threshold: float = criterion["pass_threshold"]
        self._models = models
        self._project = project
        self._model = model_of(criterion)

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        try:
            texts = [self._input(row.item, row.sample), self._reference(row.item, row.sample)]
            if not all(texts):
                return Grade(score=0.0, passed=self._threshold <= 0.0)
            call = ModelCall(api="embeddings", model=self._model, body={"input": texts}, project=self._project)
            answer = await self._models.ask(call)
            score = cosine(*_vectors(answer))
        except ModelError as error:
            failure = GraderError(kind="model_grader_server_error", message=error.message)
            return Grade(score=0.0, passed=False, error=failure)
        except RowError as error:
            return errored(error)
        usage = [(answer.model, answer.body.get("usage") or {})]
        return Grade(score=score, passed=score >= self._threshold, usage=usage)


def model_of(criterion: JsonObject) -> str:
    """The embedding model that a criterion asks."""
    return str(criterion.get("embedding_model") or DEFAULT_MODEL)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors, kept within 0 and 1; 0 where one has no length."""
    lengths = math.hypot(*one) * math.hypot(*other)
    if not lengths:
        return 0.0
    return min(max(math.fsum(a * b for a, b in zip(one, other, strict=True)) / lengths, 0.0), 1.0)


def _vectors(answer: ModelAnswer) -> tuple[list[float], list[float]]:
    match answer.body:
        case {"data": [{"embedding": [*one]}, {"embedding": [*other]}]} if len(one) == len(other):
            return one, other
    raise ModelError(f"The model '{answer.model}' did not answer with two embeddings of the same length.")
