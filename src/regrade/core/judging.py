"""What graders ask models, and how the answers are read."""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from regrade.core import jsontext, samples
from regrade.core.errors import RowError
from regrade.core.prompts import compile_document
from regrade.core.sampling import token_limit
from regrade.core.templates import as_text
from regrade.core.translation import chat_messages
from regrade.types.json import JsonObject, JsonValue

DEFAULT_RANGE = (0.0, 1.0)
DEFAULT_MAX_TOKENS = 4096

AnswerForm = Literal["json_schema", "json_object", "text"]
"""How an endpoint is made to answer in a given form, the surest first."""

_AS_GIVEN = ("temperature", "top_p", "seed", "reasoning_effort")
_NUMBER = r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?"
_NUMBERS = re.compile(rf"(?<![\w.])({_NUMBER})(?:\s{{0,9}}(?:/|out of)\s{{0,9}}{_NUMBER})?(?!\w)")
_RESULTS = re.compile(rf'"result"\s{{0,9}}:\s{{0,9}}"?({_NUMBER})')
_MAX_SHOWN = 200
_STEPS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    },
}


class JudgingError(RowError):
    """A judge's answer gives no grade; `kind` is a key of the errors object of graders/run."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says of one row."""

    score: float
    passed: bool
    label: str | None = None


class Judge:
    """A score_model or label_model grader, compiled once: what it asks of its model, and what an answer means."""

    def __init__(self, criterion: JsonObject) -> None:
        """`criterion` is in normal form (core/criteria)."""
        self.model: str = criterion["model"]
        self._labels: list[str] | None = criterion.get("labels")
        self._passing = frozenset(criterion.get("passing_labels") or ())
        self._range = range_of(criterion)
        self.threshold = threshold_of(criterion)
        self._messages = compile_document(chat_messages(criterion["input"], at="input", developer="developer"))
        parameters = criterion.get("sampling_params") or {}
        self._parameters = {name: parameters[name] for name in _AS_GIVEN if parameters.get(name) is not None}
        self._parameters["max_completion_tokens"] = token_limit(parameters) or DEFAULT_MAX_TOKENS
        self._schema = _schema(self._labels)

    def request(self, item: JsonObject, sample: JsonObject, form: AnswerForm = "json_schema") -> JsonObject:
        """The chat request for one row, without `model`; raises RowError as templates do.

        Parts of it are shared between rows: never change them.
        """
        messages: list[JsonObject] = self._messages(item, sample)
        match form:
            case "json_schema":
                return {"messages": messages, **self._parameters, "response_format": self._schema}
            case "json_object":
                messages = _with_words(messages, self._words("json_object"))
                return {"messages": messages, **self._parameters, "response_format": {"type": "json_object"}}
            case "text":
                return {"messages": _with_words(messages, self._words("text")), **self._parameters}

    def _words(self, form: AnswerForm) -> str:
        """What the schema would have enforced, in words."""
        if self._labels is None:
            low, high = self._range
            what, kind = f"your score, a number from {low:g} to {high:g}", "<number>"
        else:
            what, kind = f"one of these labels: {', '.join(self._labels)}", '"<label>"'
        if form == "text":
            return f"Reason step by step. The last line of your answer holds nothing but {what}."
        return (
            "Answer with one JSON object and nothing else: "
            f'{{"steps": [{{"description": "...", "conclusion": "..."}}], "result": {kind}}}. '
            f'Reason in the steps first; "result" is {what}.'
        )

    def verdict(self, answer: JsonObject) -> Verdict:
        """What a chat completion to `request`, in any form, says; raises JudgingError where it says nothing."""
        text, truncated = _spoken(answer)
        if truncated and _result(text) is None:
            raise JudgingError(
                "truncated_observation_error",
                f"The answer of '{self.model}' was cut at its token limit: raise the grader's "
                "'max_completions_tokens'.",
            )
        if self._labels is None:
            score = read_score(text, self._range)
            return Verdict(score=score, passed=score >= self.threshold)
        label = read_label(text, self._labels)
        passed = label in self._passing
        return Verdict(score=float(passed), passed=passed, label=label)


def range_of(criterion: JsonObject) -> tuple[float, float]:
    """The least and the greatest score of a grader."""
    if criterion.get("range") is None:
        return DEFAULT_RANGE
    low, high = criterion["range"]
    return low, high


def threshold_of(criterion: JsonObject) -> float:
    """From which score on a score_model grader passes: as given, or the middle of its range."""
    threshold: float | None = criterion.get("pass_threshold")
    return sum(range_of(criterion)) / 2 if threshold is None else threshold


def judge_sample(request: JsonObject, answer: JsonObject) -> JsonObject:
    """A judge's whole call, as `results[].sample` shows it."""
    sample = samples.answered(samples.sample_of_chat(request, answer))
    return {
        "input": [{"role": message["role"], "content": message["content"]} for message in sample["input"]],
        "output": sample["output"],
        "finish_reason": sample["finish_reason"],
        "model": sample["model"],
        "usage": sample["usage"],
        "error": sample["error"],
        "seed": sample["seed"],
        "temperature": sample["temperature"],
        "top_p": sample["top_p"],
        "reasoning_effort": request.get("reasoning_effort"),
        "max_completions_tokens": sample["max_completions_tokens"],
    }


def _schema(labels: list[str] | None) -> JsonObject:
    result: JsonObject = {"type": "number"} if labels is None else {"type": "string", "enum": labels}
    schema = {
        "type": "object",
        "properties": {"steps": _STEPS, "result": result},  # in this order: models reason before they conclude
        "required": ["steps", "result"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "grade", "strict": True, "schema": schema}}


def _with_words(messages: list[JsonObject], words: str) -> list[JsonObject]:
    """Messages that end with these words of the user's: not every model reads system messages, or several."""
    last = messages[-1]
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": words}]
    content = last["content"]
    content = [*content, {"type": "text", "text": words}] if isinstance(content, list) else f"{content}\n\n{words}"
    return [*messages[:-1], {**last, "content": content}]


# -- reading ------------------------------------------------------------------------------------------------


def _spoken(answer: JsonObject) -> tuple[str, bool]:
    """What the judge says, without its thoughts; and whether it was cut."""
    match answer:
        case {"choices": [{"message": {"refusal": str(refusal)}}, *_]} if refusal:
            raise JudgingError("model_grader_refusal_error", f"The model refused to grade: {refusal}")
        case {"choices": [{"finish_reason": "content_filter"}, *_]}:
            raise JudgingError("model_grader_refusal_error", "The model's answer was withheld by a content filter.")
    text = samples.namespace(answer).get("output_text") or ""
    match answer:
        case {"choices": [{"finish_reason": "length"}, *_]}:
            truncated = True
        case _:
            truncated = False
    return text.rpartition("</think>")[2].strip(), truncated


def read_score(text: str, score_range: tuple[float, float]) -> float:
    """The score that an answer states, clipped to the range; raises JudgingError where it states none.

    A `result` that is no number counts as 0. Answers that are no JSON are read for the last number in them.
    """
    document = _result(text)
    if document is not None:
        return _clipped(document["result"], score_range)
    found = _RESULTS.findall(text) or ([] if text.startswith(("{", "```")) else _NUMBERS.findall(text))
    if not found:
        raise _unreadable(text, "states no score")
    return _clipped(found[-1], score_range)


def _clipped(result: JsonValue, score_range: tuple[float, float]) -> float:
    low, high = score_range
    if isinstance(result, str):
        try:
            result = float(result)
        except ValueError:
            return 0.0
    if type(result) not in (int, float) or (type(result) is float and math.isnan(result)):
        return 0.0
    return float(min(max(result, low), high))


def read_label(text: str, labels: list[str]) -> str:
    """The label that an answer chooses; raises JudgingError where it chooses none.

    Answers that are no JSON are read for the last label that they mention.
    """
    document = _result(text)
    chosen = text.strip(" \n\t\r.\"'`*") if document is None else as_text(document["result"]).strip()
    if chosen in labels:
        return chosen
    alike = [label for label in labels if label.casefold() == chosen.casefold()]
    if alike:
        return alike[0]
    mentioned = [] if document is not None else [(_last_mention(text, label), label) for label in labels]
    place, label = max(mentioned, default=((-1, 0), ""))
    if place[0] < 0:
        raise _unreadable(text, "chooses none of the labels")
    return label


def _last_mention(text: str, label: str) -> tuple[int, int]:
    """Where the last mention of a label ends, and how long it is: of two that end together the longer counts."""
    text, word = text.casefold(), label.casefold()
    end = len(text)
    while word and (start := text.rfind(word, 0, end)) >= 0:
        after = start + len(word)
        if not (text[start - 1 : start].isalnum() or text[after : after + 1].isalnum()):
            return after, len(word)
        end = after - 1
    return -1, 0


def _result(text: str) -> JsonObject | None:
    """The JSON object with a `result` that a text is, or holds between other words."""
    for candidate in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            document: Any = jsontext.loads(candidate.encode("utf-8", "replace"))
        except jsontext.JsonTextError:
            continue
        if isinstance(document, dict) and "result" in document:
            return document
    return None


def _unreadable(text: str, what: str) -> JudgingError:
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return JudgingError("model_grader_parse_error", f"The model's answer {what}: {shown!r}.")
