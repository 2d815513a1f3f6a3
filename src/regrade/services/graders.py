"""Graders by themselves: checked, and tried on one sample, before an eval or a job uses them."""

import asyncio
import time
from dataclasses import asdict

from regrade.core import criteria, samples
from regrade.core.formula import FormulaError
from regrade.core.parsing import parse
from regrade.core.usage import ModelUsage, UsageByModel
from regrade.graders.build import build, check, check_python
from regrade.ports.grading import Grade, GraderError, Row
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import Sandbox
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.types.graders import RunGrader, ValidateGrader
from regrade.types.json import JsonObject

# Keys of `errors` in the answer, and those beside them that hold a text.
_FLAGS = (
    "formula_parse_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
    "invalid_variable_error",
    "other_error",
    "python_grader_server_error",
    "python_grader_runtime_error",
    "model_grader_server_error",
    "model_grader_refusal_error",
    "model_grader_parse_error",
)
_DETAILS = {
    "python_grader_server_error": "python_grader_server_error_type",
    "python_grader_runtime_error": "python_grader_runtime_error_details",
    "model_grader_server_error": "model_grader_server_error_details",
}


class Graders:
    """Graders that belong to no eval."""

    def __init__(self, models: ModelPort, sandbox: Sandbox, tuned: FineTunedModels) -> None:
        """`models` and `sandbox` answer in whichever event loop they are asked."""
        self._models = models
        self._sandbox = sandbox
        self._tuned = tuned

    def validate(self, body: JsonObject) -> JsonObject:
        """The grader as understood; raises InvalidError where its definition is wrong."""
        parse(ValidateGrader, body)
        grader = criteria.normalise(body["grader"])
        check_python(grader, self._sandbox, at="grader")
        return {"grader": grader}

    def run(self, body: JsonObject, project: str = "default") -> JsonObject:
        """Grade one sample for a project; what goes wrong with that is in the answer, with reward 0."""
        parse(RunGrader, body)
        started = time.perf_counter()
        try:
            grader = criteria.normalise(body["grader"])
        except FormulaError as error:
            grade = _not_graded("formula_parse_error", error.message)
            grader = body["grader"]
        else:
            check(grader, self._models, self._sandbox, at="grader")
            self._tuned.check_graders(project, [grader], at="grader")
            row = Row(body.get("item") or {}, samples.namespace(_completion(body["model_sample"])))
            grade = asyncio.run(self._grade(grader, row, project))
        return _answer(grader, grade, time.perf_counter() - started)

    async def _grade(self, grader: JsonObject, row: Row, project: str) -> Grade:
        programs = self._sandbox.open()
        try:
            return await build(grader, self._models, programs, project).grade(row)
        finally:
            await programs.close()


def _not_graded(kind: str, message: str) -> Grade:
    return Grade(score=0.0, passed=False, error=GraderError(kind=kind, message=message))


def _completion(text: str) -> JsonObject:
    """A model's text as the chat completion that it might have come in."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "output_text": text}


def _answer(grader: JsonObject, grade: Grade, seconds: float) -> JsonObject:
    errors = ([grade.error] if grade.error else []) + (grade.sub_errors or [])
    scores = grade.sub_scores or {}
    usage = UsageByModel()
    for model, counts in grade.usage or ():
        usage.add(model, counts)
    return {
        "reward": grade.score,
        "metadata": {
            "name": grader.get("name") or grader["type"],
            "type": grader["type"],
            "errors": _errors(errors),
            "error_messages": [error.message for error in errors],
            "execution_time": seconds,
            "scores": scores,
            "token_usage": _tokens(usage),
            "sampled_model_name": next(iter(usage.models), None),
        },
        "sub_rewards": scores,
        "model_grader_token_usage_per_model": usage.tokens_by_model(),
    }


def _tokens(usage: UsageByModel) -> JsonObject | None:
    """The tokens of all calls together; None where no model was asked."""
    if not usage.models:
        return None
    total = ModelUsage()
    for each in usage.models.values():
        total.merge(each)
    return {name: count for name, count in asdict(total).items() if name != "invocation_count"}


def _errors(errors: list[GraderError]) -> JsonObject:
    answer: JsonObject = dict.fromkeys(_FLAGS, False) | dict.fromkeys(_DETAILS.values())
    for error in errors:
        answer[error.kind] = True
        if error.kind in _DETAILS:
            answer[_DETAILS[error.kind]] = error.message
    return answer
