"""From a testing criterion in normal form to the grader that it describes."""

from regrade.core.errors import InvalidError
from regrade.graders.multi import Multi
from regrade.graders.string_check import StringCheck
from regrade.graders.text_similarity import TextSimilarity
from regrade.ports import Grader
from regrade.types.json import JsonObject


def build(criterion: JsonObject, *, at: str | None = None) -> Grader:
    """Compile a criterion once for many rows; raises InvalidError, param `at`, where the server lacks its means."""
    lacking = missing(criterion)
    if lacking is not None:
        raise InvalidError(lacking, param=at)
    match criterion["type"]:
        case "string_check":
            return StringCheck(criterion)
        case "text_similarity":
            return TextSimilarity(criterion)
        case _:
            return Multi(criterion, {name: build(grader) for name, grader in criterion["graders"].items()})


def missing(criterion: JsonObject) -> str | None:
    """What this server lacks to grade by a criterion, as a sentence; None where it lacks nothing."""
    name = criterion["name"]
    match criterion:
        case {"type": "score_model" | "label_model" as kind, "model": model}:
            return (
                f"The {kind} grader '{name}' asks the model '{model}', but this server has no model endpoints: "
                "use graders that need no model."
            )
        case {"type": "text_similarity", "evaluation_metric": "cosine"}:
            return (
                f"The text_similarity grader '{name}' uses the metric cosine, which asks an embedding model, but "
                "this server has no model endpoints: use another metric."
            )
        case {"type": "python"}:
            return (
                f"The python grader '{name}' runs code, but this server has no sandbox for Python graders: "
                "use other graders."
            )
        case {"type": "multi", "graders": graders}:
            return next(filter(None, map(missing, graders.values())), None)
        case _:
            return None
