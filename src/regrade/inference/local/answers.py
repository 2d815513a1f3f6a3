"""What the engine has written, as chat completions and their chunks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regrade.core.jsontext import dumps
from regrade.inference.local.asks import Ask
from regrade.inference.local.prompts import ToolForm, tool_calls, visible
from regrade.inference.local.rows import Row
from regrade.types.json import JsonObject

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every piece of an answer begins with."""

    id: str
    created: int
    model: str
    fingerprint: str

    def to_json(self, kind: str) -> JsonObject:
        """The first keys of a completion or a chunk."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


class Writer:
    """Turns rows into the API's objects."""

    def __init__(
        self,
        ask: Ask,
        heading: Heading,
        form: ToolForm,
        piece: Callable[[int], bytes],
        new_call_id: Callable[[], str],
    ) -> None:
        """`piece` gives a token's own bytes."""
        self._ask = ask
        self._heading = heading
        self._form = form
        self._piece = piece
        self._new_call_id = new_call_id

    def completion(self, rows: Sequence[Row]) -> JsonObject:
        """The whole answer."""
        return {
            **self._heading.to_json("chat.completion"),
            "choices": [self._choice(index, row) for index, row in enumerate(rows)],
            "usage": usage(rows),
        }

    def usage_chunk(self, rows: Sequence[Row]) -> bytes:
        """The event that counts tokens, where it was asked for."""
        return _event({**self._heading.to_json("chat.completion.chunk"), "choices": [], "usage": usage(rows)})

    def chunk(
        self, index: int, delta: JsonObject, *, finish_reason: str | None = None, logprobs: JsonObject | None = None
    ) -> bytes:
        """An event about one choice."""
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _event({**self._heading.to_json("chat.completion.chunk"), "choices": [choice]})

    def _choice(self, index: int, row: Row) -> JsonObject:
        message = self.message(row)
        return {
            "index": index,
            "message": message,
            "logprobs": self.logprobs(row, 0, len(row.spoken)),
            "finish_reason": finish_reason(row, calls=bool(message.get("tool_calls"))),
        }

    def message(self, row: Row) -> JsonObject:
        """What the assistant says, or calls."""
        content: str | None = row.text.whole
        calls: list[tuple[str, str]] = []
        if self._ask.tools:
            content, calls = tool_calls(row.text.whole, self._form, self._ask)
        message: JsonObject = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if calls:
            message["tool_calls"] = [
                {"id": self._new_call_id(), "type": "function", "function": {"name": name, "arguments": arguments}}
                for name, arguments in calls
            ]
        return message

    def logprobs(self, row: Row, begin: int, end: int) -> JsonObject | None:
        """Of the tokens [begin, end), where they were asked for."""
        if self._ask.logprobs is None:
            return None
        content = [
            {
                **self._token(token, each.logprob),
                "top_logprobs": [self._token(other, logprob) for other, logprob in each.top],
            }
            for token, each in zip(row.written[begin:end], row.likely[begin:end], strict=True)
        ]
        return {"content": content, "refusal": None}

    def visible(self, text: str, length: int) -> int:
        """How many of the first `length` characters can be no part of a tool's call."""
        return visible(text[:length], self._form) if self._ask.tools else length

    def _token(self, token: int, logprob: float) -> JsonObject:
        piece = self._piece(token)
        return {"token": piece.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(piece)}


class ChoiceStream:
    """The chunks of one choice, made as its row goes on."""

    def __init__(self, index: int, row: Row, writer: Writer) -> None:
        self._index = index
        self._row = row
        self._writer = writer
        self._sent = 0
        self._tokens_sent = 0

    def begin(self) -> bytes:
        """The event that says that there is a choice."""
        return self._writer.chunk(self._index, {"role": "assistant", "content": "", "refusal": None})

    def more(self, length: int, tokens: int) -> bytes:
        """The event of what is new when so many characters are sure; nothing where nothing is."""
        end = self._writer.visible(self._row.text.whole, length)
        if end <= self._sent:
            return b""
        delta = {"content": self._row.text.whole[self._sent : end]}
        self._sent = end
        return self._writer.chunk(self._index, delta, logprobs=self._new_logprobs(tokens))

    def end(self) -> bytes:
        """The events that end the choice: the rest of the text or the calls of tools, and why it ends."""
        row, message = self._row, self._writer.message(self._row)
        calls = message.get("tool_calls", [])
        rest = "" if calls else row.text.whole[self._sent :]
        logprobs = self._new_logprobs(len(row.spoken))
        told = b""
        if rest or (logprobs and logprobs["content"]):
            told = self._writer.chunk(self._index, {"content": rest}, logprobs=logprobs)
        for place, call in enumerate(calls):
            told += self._writer.chunk(self._index, {"tool_calls": [{"index": place, **call}]})
        return told + self._writer.chunk(self._index, {}, finish_reason=finish_reason(row, calls=bool(calls)))

    def _new_logprobs(self, tokens: int) -> JsonObject | None:
        begin, self._tokens_sent = self._tokens_sent, tokens
        return self._writer.logprobs(self._row, begin, tokens)


def usage(rows: Sequence[Row]) -> JsonObject:
    """Tokens read and written; the prompt counts once, as with hosted models."""
    read, written = len(rows[0].prompt), sum(len(row.written) for row in rows)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def finish_reason(row: Row, *, calls: bool) -> str:
    """Why an answer ended, in the API's words."""
    if row.ending == "length":
        return "length"
    return "tool_calls" if calls else "stop"


def _event(document: Any) -> bytes:
    return b"data: " + dumps(document) + b"\n\n"
