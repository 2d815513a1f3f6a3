"""Events of a streamed response as the chunks of a chat completion, one by one."""

from typing import Any

from regrade.core.errors import ModelError
from regrade.core.translation.strangers import refusing
from regrade.core.translation.to_chat import (
    chat_usage,
    finish_reason,
    refuse_failure,
    responses_answer_to_chat,
)
from regrade.core.translation.tools import chat_call
from regrade.types.json import JsonObject

_TEXTS = {
    "response.output_text": "content",
    "response.refusal": "refusal",
    "response.reasoning_text": "reasoning_content",
}
_CALLS = {
    "response.function_call_arguments": ("function", "arguments"),
    "response.custom_tool_call_input": ("custom", "input"),
}


class ResponsesToChatStream:
    """Takes events, gives chunks: `feed` for each event; `done` once the response has ended.

    `answer` is then what a call without streaming would have answered. `include_usage` adds the chunk that
    `stream_options` asks for.
    """

    def __init__(self, *, include_usage: bool = False) -> None:
        self.answer: JsonObject = {}
        self._include_usage = include_usage
        self._head: JsonObject = {}
        self._sent: dict[tuple[Any, ...], int] = {}
        """How many characters of each text and call have gone, for endpoints that send no deltas."""
        self._calls: dict[int, int] = {}
        """Output index -> index of the call."""

    @property
    def done(self) -> bool:
        """Whether the response has ended; a stream that stops before has been cut."""
        return bool(self.answer)

    @refusing(ModelError, "The endpoint streams something else than the responses API does.")
    def feed(self, event: JsonObject) -> list[JsonObject]:
        """The chunks that one event stands for; raises ModelError where it is a failure."""
        name: str = event.get("type") or ""
        kind, _, phase = name.rpartition(".")
        if kind in _TEXTS and phase in ("delta", "done"):
            return self._text(_TEXTS[kind], phase, event)
        if kind in _CALLS and phase in ("delta", "done"):
            return self._arguments(*_CALLS[kind], phase, event)
        match name:
            case "response.created":
                return self._begin(event["response"])
            case "response.output_item.added" | "response.output_item.done":
                return self._item(event)
            case "response.completed" | "response.incomplete" | "response.failed":
                return self._end(event["response"])
            case "error":
                raise ModelError(
                    event.get("message") or "The endpoint broke the stream off.", code=event.get("code")
                )
            case _:
                return []

    def _begin(self, response: JsonObject) -> list[JsonObject]:
        head = responses_answer_to_chat({**response, "output": [], "status": "completed"})
        self._head = {
            "id": head["id"],
            "object": "chat.completion.chunk",
            "created": head["created"],
            "model": head["model"],
        }
        return [self._chunk({"role": "assistant", "content": "", "refusal": None})]

    def _text(self, field: str, phase: str, event: JsonObject) -> list[JsonObject]:
        place = (field, event.get("output_index"), event.get("content_index"))
        whole = event.get("refusal") if field == "refusal" else event.get("text")
        text = self._rest(place, phase, event.get("delta"), whole)
        if not text:
            return []
        chunk = self._chunk({field: text})
        if event.get("logprobs") and phase == "delta":
            chunk["choices"][0]["logprobs"] = {"content": event["logprobs"], "refusal": None}
        return [chunk]

    def _arguments(self, kind: str, field: str, phase: str, event: JsonObject) -> list[JsonObject]:
        index = self._calls.get(event["output_index"])
        if index is None:
            return []
        text = self._rest((field, event["output_index"]), phase, event.get("delta"), event.get(field))
        return [self._chunk({"tool_calls": [{"index": index, kind: {field: text}}]})] if text else []

    def _rest(self, place: tuple[Any, ...], phase: str, delta: Any, whole: Any) -> str:
        """What has not gone yet."""
        sent = self._sent.get(place, 0)
        text: str = (delta or "") if phase == "delta" else (whole or "")[sent:]
        self._sent[place] = sent + len(text)
        return text

    def _item(self, event: JsonObject) -> list[JsonObject]:
        item, output_index = event.get("item") or {}, event["output_index"]
        if item.get("type") not in ("function_call", "custom_tool_call"):
            return []
        kind, field = _CALLS["response.function_call_arguments"]
        if item["type"] == "custom_tool_call":
            kind, field = _CALLS["response.custom_tool_call_input"]
        chunks: list[JsonObject] = []
        if output_index not in self._calls:
            index = self._calls[output_index] = len(self._calls)
            call = chat_call(item)
            call[kind][field] = ""
            chunks.append(self._chunk({"tool_calls": [{"index": index, **call}]}))
        return chunks + self._arguments(kind, field, "done", {"output_index": output_index, **item})

    def _end(self, response: JsonObject) -> list[JsonObject]:
        refuse_failure(response)
        self.answer = responses_answer_to_chat(response)
        chunks = [] if self._head else self._begin(response)
        chunks.append(self._chunk({}, finish_reason=finish_reason(response, called=bool(self._calls))))
        if self._include_usage:
            chunks.append({**self._head, "choices": [], "usage": chat_usage(response.get("usage"))})
        return chunks

    def _chunk(self, delta: JsonObject, **choice: Any) -> JsonObject:
        whole = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **choice}
        return {**self._head, "choices": [whole], **({"usage": None} if self._include_usage else {})}
