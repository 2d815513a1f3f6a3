"""From a testing criterion in normal form to the grader that it describes."""

from collections.abc import Iterable, Iterator

from regrade.graders.cosine import CosineSimilarity, model_of
from regrade.graders.judge import ModelJudge
from regrade.graders.multi import Multi
from regrade.graders.python import Python
from regrade.graders.string_check import StringCheck
from regrade.graders.text_similarity import TextSimilarity
from regrade.ports.grading import Grader
from regrade.ports.models import ModelApi, ModelPort
from regrade.ports.sandbox import PythonPrograms, Sandbox
from regrade.types.json import JsonObject


def build(criterion: JsonObject, models: ModelPort, programs: PythonPrograms, project: str = "default") -> Grader:
    """Compile a criterion once for many rows of a project; see `check` for what may be missing."""
    match criterion:
        case {"type": "string_check"}:
            return StringCheck(criterion)
        case {"type": "text_similarity", "evaluation_metric": "cosine"}:
            return CosineSimilarity(criterion, models, project)
        case {"type": "text_similarity"}:
            return TextSimilarity(criterion)
        case {"type": "score_model" | "label_model"}:
            return ModelJudge(criterion, models, project)
        case {"type": "python"}:
            return Python(criterion, programs)
        case _:
            graders = criterion["graders"].items()
            return Multi(criterion, {name: build(grader, models, programs, project) for name, grader in graders})


def check(criterion: JsonObject, models: ModelPort, sandbox: Sandbox, *, at: str) -> None:
    """Raise InvalidError where this server cannot grade by the criterion, which stands at the path `at`."""
    check_python(criterion, sandbox, at=at)
    for api, model, path in asked_models(criterion, at):
        models.check(model, api, {}, param=path)
    for name, grader in _parts(criterion):
        check(grader, models, sandbox, at=f"{at}.graders.{name}")


def check_python(criterion: JsonObject, sandbox: Sandbox, *, at: str) -> None:
    """Raise InvalidError where the criterion, or one in it, is a python grader and this server runs none."""
    if criterion["type"] == "python":
        sandbox.check(param=at)
    for name, grader in _parts(criterion):
        check_python(grader, sandbox, at=f"{at}.graders.{name}")


def _parts(criterion: JsonObject) -> Iterable[tuple[str, JsonObject]]:
    """The graders of a multi grader, by name."""
    return criterion["graders"].items() if criterion["type"] == "multi" else ()


def asked_models(criterion: JsonObject, at: str) -> Iterator[tuple[ModelApi, str, str]]:
    """(API, model, path of its name) of what the criterion itself asks."""
    match criterion:
        case {"type": "score_model" | "label_model", "model": model}:
            yield "chat", model, f"{at}.model"
        case {"type": "text_similarity", "evaluation_metric": "cosine"}:
            yield "embeddings", model_of(criterion), at
