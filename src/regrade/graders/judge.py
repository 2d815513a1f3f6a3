"""score_model and label_model: a model reads the row and says how good it is."""

from regrade.core.errors import ModelError, RowError
from regrade.core.judging import AnswerForm, Judge, JudgingError, judge_sample
from regrade.graders.outcome import errored
from regrade.ports.grading import Grade, GraderError, Row
from regrade.ports.models import ModelAnswer, ModelCall, ModelPort
from regrade.types.json import JsonObject

_FORMS: tuple[AnswerForm, ...] = ("json_schema", "json_object", "text")
_BAD_REQUEST = 400


class ModelJudge:
    """Passes as core/judging says of the model's answer; the whole call is kept with the grade."""

    asks_models = True
    waits = True

    def __init__(self, criterion: JsonObject, models: ModelPort, project: str) -> None:
        self.type: str = criterion["type"]
        self._judge = Judge(criterion)
        self._models = models
        self._project = project
        self._form: int | None = None
        """Index in _FORMS of the surest form that the endpoint is known to take."""

    async def grade(self, row: Row) -> Grade:
        """See ports.Grader."""
        try:
            request, answer = await self._ask(row)
        except ModelError as error:
            return Grade(
                score=0.0,
                passed=False,
                error=GraderError(kind="model_grader_server_error", message=error.message),
            )
        except RowError as error:
            return errored(error)
        call = judge_sample(request, {"model": answer.model, **answer.body})
        usage = [(answer.model, answer.body.get("usage") or {})]
        try:
            verdict = self._judge.verdict(answer.body)
        except JudgingError as error:
            failure = GraderError(kind=error.kind, message=error.message)
            return Grade(score=0.0, passed=False, error=failure, sample=call, usage=usage)
        extra = {"label": verdict.label} if verdict.label is not None else None
        return Grade(score=verdict.score, passed=verdict.passed, sample=call, extra=extra, usage=usage)

    async def _ask(self, row: Row) -> tuple[JsonObject, ModelAnswer]:
        """Ask in the surest form that the endpoint takes; one that refuses a form is asked in the next."""
        if self._form is None:
            endpoint = await self._models.find(self._judge.model)
            self._form = 0 if endpoint.structured_outputs else 1
        form = self._form
        while True:
            request = self._judge.request(row.item, row.sample, _FORMS[form])
            call = ModelCall(api="chat", model=self._judge.model, body=request, project=self._project, lenient=True)
            try:
                answer = await self._models.ask(call)
            except ModelError as error:
                if error.status != _BAD_REQUEST or form == len(_FORMS) - 1:
                    raise
                form += 1
                continue
            self._form = max(self._form, form)
            return request, answer
