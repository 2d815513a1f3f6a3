"""Which stored chat completions and responses a filter takes."""

from dataclasses import dataclass
from typing import Any

from regrade.core.entities import StoredObject
from regrade.core.jsontext import dumps, loads
from regrade.core.messages import flatten
from regrade.types.json import JsonObject, JsonValue

FINISHED = ("completed", "incomplete")
"""States of objects that have an answer to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFilter:
    """What the sources `stored_completions` and `responses` select by; everything that is given must hold."""

    metadata: tuple[tuple[str, str], ...] = ()
    """Pairs, all of which the object has."""
    model: str | None = None
    """Asked for, or answered with."""
    created_after: int | None = None
    """Unix seconds, inclusive, as is `created_before`."""
    created_before: int | None = None
    limit: int | None = None
    """Of the newest."""
    instructions_search: str | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    users: tuple[str, ...] = ()
    """Any of these, as `user` or as `safety_identifier`."""
    tools: tuple[str, ...] = ()
    """All of these: functions and custom tools by their names, others by their types."""

    @property
    def reads_bodies(self) -> bool:
        """Whether it asks for more than what the store keeps as facts."""
        unasked = (self.instructions_search, self.reasoning_effort, self.temperature, self.top_p)
        return any(each is not None for each in unasked) or bool(self.users or self.tools)


def filter_of(source: JsonObject, metadata: JsonObject | None = None) -> StoredFilter:
    """The filter that a checked data source says; `metadata` is the eval's, which must hold too."""
    pairs = [*(metadata or {}).items(), *(source.get("metadata") or {}).items()]
    given = {
        name: source[name]
        for name in (
            *("model", "created_after", "created_before", "limit"),
            *("instructions_search", "reasoning_effort", "temperature", "top_p"),
        )
        if source.get(name) is not None
    }
    return StoredFilter(
        metadata=tuple((key, pair_text(value)) for key, value in pairs),
        users=tuple(source.get("users") or ()),
        tools=tuple(source.get("tools") or ()),
        **given,
    )


def pair_text(value: JsonValue) -> str:
    """A value as metadata has it: stored values are texts, those of filters and of other logs may be anything."""
    return value if isinstance(value, str) else dumps(value).decode()


def takes(wanted: StoredFilter, stored: StoredObject) -> bool:
    """Whether the filter takes the object, as far as bodies say; the store has looked at the rest."""
    if not wanted.reads_bodies:
        return True
    request, answer = loads(stored.request), loads(stored.answer)
    return (
        _holds_text(wanted.instructions_search, _said(request, answer, "instructions"))
        and _equal(wanted.reasoning_effort, _effort(request, answer))
        and _equal(wanted.temperature, _said(request, answer, "temperature"))
        and _equal(wanted.top_p, _said(request, answer, "top_p"))
        and (not wanted.users or not {*wanted.users}.isdisjoint(_users(request, answer)))
        and {*wanted.tools} <= _tool_names(_said(request, answer, "tools"))
    )


def _said(request: JsonObject, answer: JsonObject, name: str) -> Any:
    """A parameter as answered, which is what held; else as asked."""
    value = answer.get(name)
    return request.get(name) if value is None or value == [] else value


def _holds_text(wanted: str | None, instructions: JsonValue) -> bool:
    if wanted is None:
        return True
    if isinstance(instructions, list):
        instructions = "\n".join(flatten(each.get("content")) for each in instructions if isinstance(each, dict))
    return isinstance(instructions, str) and wanted in instructions


def _effort(request: JsonObject, answer: JsonObject) -> JsonValue:
    reasoning = _said(request, answer, "reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return request.get("reasoning_effort") if effort is None else effort


def _equal(wanted: JsonValue, found: JsonValue) -> bool:
    return wanted is None or wanted == found


def _users(request: JsonObject, answer: JsonObject) -> set[str]:
    named = (_said(request, answer, name) for name in ("user", "safety_identifier"))
    return {name for name in named if isinstance(name, str)}


def _tool_names(tools: JsonValue) -> set[str]:
    names: set[str] = set()
    for tool in tools if isinstance(tools, list) else ():
        match tool:
            case {"type": "function" | "custom" as kind}:
                detail = tool.get(kind)
                name = detail.get("name") if isinstance(detail, dict) else tool.get("name")
                names.add(str(name))
            case {"type": str(kind)}:
                names.add(kind)
    return names
