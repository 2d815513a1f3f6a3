"""From a testing criterion in normal form to the grader that it describes."""

from collections.abc import Iterator

from regrade.core.errors import InvalidError
from regrade.graders.cosine import CosineSimilarity, model_of
from regrade.graders.judge import ModelJudge
from regrade.graders.multi import Multi
from regrade.graders.string_check import StringCheck
from regrade.graders.text_similarity import TextSimilarity
from regrade.ports.grading import Grader
from regrade.ports.models import ModelApi, ModelPort
from regrade.types.json import JsonObject


def build(criterion: JsonObject, models: ModelPort) -> Grader:
    """Compile a criterion once for many rows; see `check` for what may be missing."""
    match criterion:
        case {"type": "string_check"}:
            return StringCheck(criterion)
        case {"type": "text_similarity", "evaluation_metric": "cosine"}:
            return CosineSimilarity(criterion, models)
        case {"type": "text_similarity"}:
            return TextSimilarity(criterion)
        case {"type": "score_model" | "label_model"}:
            return ModelJudge(criterion, models)
        case {"type": "multi", "graders": graders}:
            return Multi(criterion, {name: build(grader, models) for name, grader in graders.items()})
        case _:
            raise InvalidError(_NO_SANDBOX.format(name=criterion["name"]))


def check(criterion: JsonObject, models: ModelPort, *, at: str) -> None:
    """Raise InvalidError where this server cannot grade by the criterion, which stands at the path `at`."""
    if criterion["type"] == "python":
        raise InvalidError(_NO_SANDBOX.format(name=criterion["name"]), param=at)
    for api, model, path in asked_models(criterion, at):
        models.check(model, api, {}, param=path)
    for name, grader in (criterion.get("graders") or {}).items():
        check(grader, models, at=f"{at}.graders.{name}")


def asked_models(criterion: JsonObject, at: str) -> Iterator[tuple[ModelApi, str, str]]:
    """(API, model, path of its name) of what the criterion itself asks."""
    match criterion:
        case {"type": "score_model" | "label_model", "model": model}:
            yield "chat", model, f"{at}.model"
        case {"type": "text_similarity", "evaluation_metric": "cosine"}:
            yield "embeddings", model_of(criterion), at


_NO_SANDBOX = (
    "The python grader '{name}' runs code, but this server has no sandbox for Python graders: use other graders."
)
