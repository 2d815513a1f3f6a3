"""Chunks of a chat completion as the events of a streamed response, one by one."""

from collections.abc import Iterator
from typing import Any

from regrade.core.errors import ModelError
from regrade.core.translation.strangers import refusing
from regrade.core.translation.to_responses import (
    ended,
    name_item,
    output_text,
    response_id_of,
    response_object,
    thought_of,
)
from regrade.types.json import JsonObject

# By the type of a part: the field that deltas add to, and the name of its events.
_PARTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


class ChatToResponsesStream:
    """Takes chunks, gives events: `feed` for each chunk, then `finish` once the stream has ended as it should.

    A stream that breaks off ends with `fail`. After either, `response` is what a call without streaming would have
    answered.
    """

    def __init__(self, request: JsonObject, *, response_id: str | None = None) -> None:
        self.response: JsonObject = {}
        self._request = request
        self._response_id = response_id
        self._sequence = 0
        self._items: list[JsonObject] = []
        self._written: JsonObject | None = None
        """The message or reasoning that deltas add to now."""
        self._calls: dict[int, JsonObject] = {}
        self._last: JsonObject = {}
        """What the end of the stream says: usage, service tier."""
        self._finish_reason: str | None = None
        self._said_something = False

    @refusing(ModelError, "The endpoint streams something else than chat completions do.")
    def feed(self, chunk: JsonObject) -> list[JsonObject]:
        """The events that one chunk stands for; raises ModelError where the chunk is an error."""
        _refuse_error(chunk)
        events = list(self._begin(chunk)) if not self.response else []
        for field in ("usage", "service_tier"):
            if chunk.get(field) is not None:
                self._last[field] = chunk[field]
        for choice in chunk.get("choices") or []:
            if choice.get("index") in (None, 0):
                events += self._choice(choice)
        return events

    def finish(self) -> list[JsonObject]:
        """The events that close everything; the last one holds the whole response."""
        events = list(self._begin({})) if not self.response else []
        if not self._items and self._said_something:
            events += self._open({"type": "message", "role": "assistant", "content": []})
            events += self._write_part("output_text", "", [])
        ended_response = ended(self.response, self._items, self._finish_reason, self._last)
        events += self._close_written()
        for item in self._calls.values():
            field, name = _CALLS[item["type"]]
            place = self._place(item)
            events.append(self._event(f"{name}.done", **place, **{field: item[field]}, **_named(item)))
            events.append(self._item_event("done", item))
        self.response = ended_response
        events.append(self._event(f"response.{ended_response['status']}", response=ended_response))
        return events

    def fail(self, error: ModelError) -> list[JsonObject]:
        """The events of a stream that breaks off: the response has failed, with what it had until then."""
        events = list(self._begin({})) if not self.response else []
        failure = {"code": "server_error", "message": error.message}
        self.response = {**self.response, "status": "failed", "error": failure, "output": self._items}
        return [*events, self._event("response.failed", response=self.response)]

    # -- the pieces -----------------------------------------------------------------------------------------

    def _begin(self, chunk: JsonObject) -> Iterator[JsonObject]:
        self.response = response_object(
            self._request,
            response_id=self._response_id or response_id_of(chunk),
            created_at=chunk.get("created") or 0,
            model=chunk.get("model") or "",
        )
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)

    def _choice(self, choice: JsonObject) -> Iterator[JsonObject]:
        delta: JsonObject = choice.get("delta") or {}
        logprobs = (choice.get("logprobs") or {}).get("content") or []
        if thought := thought_of(delta):
            yield from self._write("reasoning", "reasoning_text", thought, [])
        text = delta.get("content")
        self._said_something = self._said_something or text is not None
        text = text or (delta.get("audio") or {}).get("transcript")
        if text:
            yield from self._write("message", "output_text", text, logprobs)
        if delta.get("refusal"):
            yield from self._write("message", "refusal", delta["refusal"], [])
        for call in delta.get("tool_calls") or []:
            yield from self._call(call)
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _write(self, kind: str, part: str, text: str, logprobs: list[Any]) -> Iterator[JsonObject]:
        if self._written is None or self._written["type"] != kind:
            yield from self._close_written()
            head: JsonObject = {"summary": []} if kind == "reasoning" else {"role": "assistant"}
            yield from self._open({"type": kind, **head, "content": []})
        yield from self._write_part(part, text, logprobs)

    def _open(self, item: JsonObject) -> Iterator[JsonObject]:
        self._written = item
        yield self._added(item)

    def _write_part(self, kind: str, text: str, logprobs: list[Any]) -> Iterator[JsonObject]:
        item = self._written
        assert item is not None  # noqa: S101 - it was opened just before
        parts: list[JsonObject] = item["content"]
        field, name = _PARTS[kind]
        if not parts or parts[-1]["type"] != kind:
            yield from self._close_part(item)
            parts.append(_empty_part(kind))
            yield self._event("response.content_part.added", **self._place_of_part(item), part=_empty_part(kind))
        parts[-1][field] += text
        extra: JsonObject = {}
        if kind == "output_text":
            parts[-1]["logprobs"] += logprobs
            extra = {"logprobs": logprobs}
        yield self._event(f"{name}.delta", **self._place_of_part(item), delta=text, **extra)

    def _call(self, delta: JsonObject) -> Iterator[JsonObject]:
        index = self._index_of(delta)
        call = delta.get("custom") or delta.get("function") or {}
        item = self._calls.get(index)
        if item is None:
            yield from self._close_written()
            kind = "custom_tool_call" if delta.get("type") == "custom" or "custom" in delta else "function_call"
            item = {"type": kind, "call_id": delta.get("id"), "name": call.get("name") or "", _CALLS[kind][0]: ""}
            self._calls[index] = item
            yield self._added(item)
        item["name"] = item["name"] or call.get("name") or ""
        field, name = _CALLS[item["type"]]
        if call.get(field):
            item[field] += call[field]
            yield self._event(f"{name}.delta", **self._place(item), delta=call[field])

    def _index_of(self, delta: JsonObject) -> int:
        """Some endpoints leave the index out: then a new id is a new call."""
        index = delta.get("index")
        if isinstance(index, int):
            return index
        known = [at for at, item in self._calls.items() if delta.get("id") in (None, item["call_id"])]
        return known[-1] if known else len(self._calls)

    def _close_written(self) -> Iterator[JsonObject]:
        item = self._written
        if item is None:
            return
        yield from self._close_part(item)
        if item["status"] == "in_progress":  # else the end of the stream has said how the item ended
            item["status"] = "completed"
        yield self._item_event("done", item)
        self._written = None

    def _close_part(self, item: JsonObject) -> Iterator[JsonObject]:
        if not item["content"]:
            return
        part = item["content"][-1]
        field, name = _PARTS[part["type"]]
        extra = {"logprobs": part["logprobs"]} if part["type"] == "output_text" else {}
        place = self._place_of_part(item)
        yield self._event(f"{name}.done", **place, **{field: part[field]}, **extra)
        yield self._event("response.content_part.done", **place, part={**part})

    # -- events ---------------------------------------------------------------------------------------------

    def _added(self, item: JsonObject) -> JsonObject:
        self._items.append(item)
        name_item(item, self.response["id"], len(self._items) - 1)
        if item["type"] != "custom_tool_call":
            item["status"] = "in_progress"
        return self._item_event("added", item)

    def _item_event(self, what: str, item: JsonObject) -> JsonObject:
        copy = {**item, "content": [*item["content"]]} if "content" in item else {**item}
        return self._event(f"response.output_item.{what}", output_index=self._output_index(item), item=copy)

    def _place(self, item: JsonObject) -> JsonObject:
        return {"item_id": item["id"], "output_index": self._output_index(item)}

    def _place_of_part(self, item: JsonObject) -> JsonObject:
        return {**self._place(item), "content_index": len(item["content"]) - 1}

    def _output_index(self, item: JsonObject) -> int:
        return next(index for index, other in enumerate(self._items) if other is item)

    def _event(self, name: str, /, **fields: Any) -> JsonObject:
        event = {"type": name, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event


def _empty_part(kind: str) -> JsonObject:
    return output_text("") if kind == "output_text" else {"type": kind, _PARTS[kind][0]: ""}


def _named(item: JsonObject) -> JsonObject:
    return {"name": item["name"]} if item["type"] == "function_call" else {}


def _refuse_error(chunk: JsonObject) -> None:
    match chunk.get("error"):
        case None:
            return
        case {"message": str(message), "code": str(code)}:
            raise ModelError(message, code=code)
        case {"message": str(message)}:
            raise ModelError(message)
        case error:
            raise ModelError(f"The endpoint broke the stream off: {error}.")
