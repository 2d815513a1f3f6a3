"""Calls of models as others have recorded them: one JSON object a call, in any of the shapes that exports have."""

import hashlib
from dataclasses import dataclass
from typing import Any

from regrade.core import metadata
from regrade.core.entities import StoredKind
from regrade.core.errors import InvalidError, RowError
from regrade.core.jsontext import JsonTextError, dumps, loads
from regrade.core.stored_objects import pair_text
from regrade.core.translation import chat_messages, responses_items
from regrade.types.json import JsonObject, JsonValue

_PREFIXES: dict[StoredKind, str] = {"chat": "chatcmpl-", "response": "resp_"}
_MAX_ID = 255  # an index on PostgreSQL holds no more than some 2,700 bytes
_END_OF_TIME = 253_402_300_800  # the year 10000: whoever means milliseconds is beyond it
_SUCCESS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """What was asked and what was answered."""

    kind: StoredKind
    id: str
    """The recording's own, or one that the same recording has every time."""
    created_at: int | None
    metadata: JsonObject
    request: JsonObject
    answer: JsonObject


def recorded_call(line: JsonValue) -> RecordedCall:
    """The call that a recording is of. Raises RowError where that cannot be told.

    Known shapes: `{request, response}`, each perhaps inside a `body` or written as text; a chat completion with its
    `messages`, as stored completions are exported; a response with its `input`; `messages` that end with the
    assistant's.
    """
    if not isinstance(line, dict):
        raise RowError("It is no JSON object.")
    request, answer = _taken_apart(line)
    kind = _kind_of(answer)
    _complete(kind, request)
    answered_at = answer.get("created") or answer.get("created_at") or line.get("created_at") or line.get("created")
    identity = answer.get("id") or line.get("id")
    if not isinstance(identity, str):
        identity = _PREFIXES[kind] + hashlib.sha256(dumps([request, answer])).hexdigest()[:32]
    if len(identity) > _MAX_ID:
        raise RowError(f"Its id has {len(identity):,} characters, and an id can have at most {_MAX_ID}.")
    unsaid = ("metadata", "stream", "stream_options", "store")
    return RecordedCall(
        kind=kind,
        id=identity,
        created_at=_seconds(answered_at),
        metadata=_metadata(line, request, answer),
        request={key: value for key, value in request.items() if key not in unsaid},
        answer={**{key: value for key, value in answer.items() if key != "metadata"}, "id": identity},
    )


def _seconds(value: JsonValue) -> int | None:
    if not isinstance(value, int | float):
        return None
    if not 0 <= value < _END_OF_TIME:
        raise RowError("Its time of creation is no Unix time in seconds.")
    return int(value)


def _taken_apart(line: JsonObject) -> tuple[JsonObject, JsonObject]:
    """Request and answer, each without what a log has put around it."""
    if line.get("response") is not None:
        answer = _parsed(line["response"])
        status = answer.get("status_code") if isinstance(answer, dict) else None
        if status not in (None, _SUCCESS):
            raise RowError(f"The call was not answered: its status is {status}.")
        return _inside(line.get("request"), "request"), _inside(answer, "response")
    asked = line.get("messages", line.get("input"))
    if "choices" in line or isinstance(line.get("output"), list):
        kept = {key: value for key, value in line.items() if key not in ("messages", "input")}
        name = "messages" if "messages" in line else "input"
        return {**_parameters(kept), name: asked}, kept
    if isinstance(asked, list) and asked and isinstance(asked[-1], dict) and asked[-1].get("role") == "assistant":
        kept = {key: value for key, value in line.items() if key not in ("messages", "input")}
        choice = {"index": 0, "message": asked[-1], "finish_reason": "stop"}
        return {**kept, "messages": asked[:-1]}, {"object": "chat.completion", "choices": [choice], **_said(line)}
    raise RowError("It has neither a 'request' with a 'response', nor 'messages' with an answer, nor an 'output'.")


def _parsed(value: JsonValue) -> JsonValue:
    """The document that some logs write as text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value.encode("utf-8", "surrogatepass"))
    except JsonTextError:
        return value


def _inside(part: JsonValue, name: str) -> JsonObject:
    part = _parsed(part)
    body = _parsed(part.get("body", part)) if isinstance(part, dict) else part
    if not isinstance(body, dict):
        raise RowError(f"Its '{name}' is no JSON object.")
    return dict(body)


def _said(line: JsonObject) -> JsonObject:
    return {key: line[key] for key in ("id", "model", "created", "usage") if key in line}


# Of what a completion or a response says of itself, what was asked.
_ASKED = (
    *(
        "model",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "text",
        "reasoning",
    ),
    *("reasoning_effort", "temperature", "top_p", "seed", "max_output_tokens", "max_completion_tokens", "user"),
    *("presence_penalty", "frequency_penalty", "previous_response_id", "safety_identifier", "truncation"),
)


def _parameters(answer: JsonObject) -> JsonObject:
    return {key: answer[key] for key in _ASKED if answer.get(key) is not None}


def _kind_of(answer: JsonObject) -> StoredKind:
    choices = answer.get("choices")
    if _objects(choices) and all(isinstance(choice.get("message"), dict) for choice in choices or ()):
        return "chat"
    if _objects(answer.get("output")):
        return "response"
    if answer.get("error"):
        raise RowError("The call was not answered: its answer is an error.")
    raise RowError("Its answer is neither a chat completion with 'choices' nor a response with 'output'.")


def _complete(kind: StoredKind, request: JsonObject) -> None:
    """Give the request what it must hold for its kind, from the other API's words where it has those."""
    messages, items = request.get("messages"), request.get("input")
    try:
        if kind == "chat" and not _objects(messages):
            if not (isinstance(items, str) or _objects(items)):
                raise RowError("It says nothing of what was asked: there are no 'messages'.")
            request["messages"] = chat_messages(items)
        if kind == "response" and not (isinstance(items, str) or _objects(items)):
            if not _objects(messages):
                raise RowError("It says nothing of what was asked: there is no 'input'.")
            request["input"] = responses_items(messages)
    except InvalidError as error:
        raise RowError(error.message) from error


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _metadata(*places: JsonObject) -> JsonObject:
    """The first that there is; values that are no texts become such."""
    found: JsonObject = next((place["metadata"] for place in places if isinstance(place.get("metadata"), dict)), {})
    pairs = {key: pair_text(value) for key, value in found.items() if value is not None}
    try:
        return metadata.checked(pairs)
    except InvalidError as error:
        raise RowError(error.message) from error
