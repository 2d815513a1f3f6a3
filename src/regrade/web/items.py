"""Output items as pages show them: a line of the table, and one item in full."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regrade.core.jsontext import loads
from regrade.core.results import ItemStatus
from regrade.types.json import JsonObject, JsonValue
from regrade.web import words

Verdict = Literal["pass", "fail", "error", "none"]

_LINE = 240
_TICKS: dict[Verdict, str] = {"pass": "✓", "fail": "✕", "error": "!", "none": words.NOTHING}
_TWO_VALUED = ("string_check", "label_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one criterion says of one row."""

    verdict: Verdict
    text: str
    said: str
    """For those who do not see colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table of items."""

    id: str
    index: int
    status: ItemStatus
    fields: list[tuple[str, str]]
    """Of the item, each clipped."""
    output: str
    cells: list[Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str
    more: str
    """Tool calls and the like, as JSON; empty where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one criterion says of one row, in full."""

    name: str
    type: str
    verdict: Verdict
    score: str
    error: str
    parts: list[tuple[str, str]]
    """Of a grader made of others: the score of each."""
    notes: list[tuple[str, str]]
    """Whatever else the grader said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReport:
    """One item in full."""

    id: str
    index: int
    status: ItemStatus
    created_at: int
    fields: list[tuple[str, str]]
    input: list[Message]
    output: list[Message]
    error: str
    facts: list[str]
    results: list[Result]
    raw: str


def line(body: bytes, criteria: Sequence[JsonObject]) -> Line:
    """The table's line of a stored output item."""
    item = _object(loads(body))
    results = {result["name"]: result for result in item["results"]}
    sample = item["sample"]
    spoken = "\n".join(words.text(message.get("content") or "") for message in sample["output"])
    return Line(
        id=item["id"],
        index=item["datasource_item_id"],
        status=item["status"],
        fields=_clipped_fields(item["datasource_item"]),
        output=words.clipped(spoken or _message_of(sample.get("error")), _LINE),
        cells=[_cell(criterion, results.get(criterion["id"])) for criterion in criteria],
    )


def item_report(body: bytes, criteria: Sequence[JsonObject]) -> ItemReport:
    """A stored output item in full."""
    item = _object(loads(body))
    names = {criterion["id"]: criterion["name"] for criterion in criteria}
    sample = item["sample"]
    return ItemReport(
        id=item["id"],
        index=item["datasource_item_id"],
        status=item["status"],
        created_at=item["created_at"],
        fields=[(key, _readable(value)) for key, value in item["datasource_item"].items()],
        input=[_message(message) for message in sample["input"]],
        output=[_message(message) for message in sample["output"]],
        error=_message_of(sample.get("error")),
        facts=_facts(sample),
        results=[_result(result, names) for result in item["results"]],
        raw=words.pretty(item),
    )


def _object(document: JsonValue) -> JsonObject:
    found: JsonObject = document
    return found


def _clipped_fields(item: JsonObject) -> list[tuple[str, str]]:
    """As many fields as a line can show."""
    fields: list[tuple[str, str]] = []
    room = _LINE
    for key, value in item.items():
        if room <= 0:
            break
        fields.append((words.clipped(key, 40), words.clipped(words.text(value), room)))
        room -= len(fields[-1][0]) + len(fields[-1][1])
    return fields


def _cell(criterion: JsonObject, result: JsonObject | None) -> Cell:
    verdict = _verdict(result)
    if result is None or verdict == "error" or criterion["type"] in _TWO_VALUED:
        text = _TICKS[verdict]
    else:
        text = words.score(result["score"])
    said = {"pass": "passed", "fail": "failed", "error": "errored", "none": "not graded"}[verdict]
    return Cell(verdict=verdict, text=text, said=f"{criterion['name']}: {said}")


def _verdict(result: JsonObject | None) -> Verdict:
    if result is None:
        return "none"
    if result.get("error"):
        return "error"
    return "pass" if result["passed"] else "fail"


def _message(message: JsonObject) -> Message:
    more = {key: value for key, value in message.items() if key not in ("role", "content") and value is not None}
    return Message(
        role=words.text(message.get("role") or ""),
        text=_readable(message.get("content") or ""),
        more=words.pretty(more) if more else "",
    )


def _result(result: JsonObject, names: dict[str, str]) -> Result:
    shown = ("name", "type", "passed", "score", "error", "sample", "sub_scores")
    notes = [(key, _readable(value)) for key, value in result.items() if key not in shown and value is not None]
    own_sample = result.get("sample") or {}
    if own_sample.get("stdout"):
        notes.append(("printed", _readable(own_sample["stdout"])))
    answers = own_sample.get("output") or []
    notes += [("answer", _readable(message.get("content") or "")) for message in answers]
    return Result(
        name=names.get(result["name"]) or result["name"],
        type=result.get("type") or "",
        verdict=_verdict(result),
        score=f"{result['score']:g}" if result.get("type") in _TWO_VALUED else words.score(result["score"]),
        error=_message_of(result.get("error")),
        parts=[(key, words.score(score)) for key, score in (result.get("sub_scores") or {}).items()],
        notes=notes,
    )


def _facts(sample: JsonObject) -> list[str]:
    """Model, end and size of the answer, where they are known."""
    facts = [sample.get("model"), sample.get("finish_reason")]
    tokens = (sample.get("usage") or {}).get("total_tokens")
    if tokens:
        facts.append(f"{words.count(tokens)} tokens")
    return [fact for fact in facts if fact]


def _message_of(error: JsonObject | None) -> str:
    return error["message"] if error else ""


def _readable(value: JsonValue) -> str:
    return value if isinstance(value, str) else words.pretty(value)
