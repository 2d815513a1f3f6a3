"""The chunks of a streamed chat completion, added up to what a call without streaming would have answered."""

from typing import Any

from regrade.types.json import JsonObject, JsonValue

# These come whole; some servers say them again in every chunk.
_NAMES = frozenset({"role", "id", "type", "name", "index", "format"})
_CHUNK = "chat.completion.chunk"


class ChatCapture:
    """Takes chunks; `completion` is what they have made until then."""

    def __init__(self) -> None:
        self._head: JsonObject = {}
        self._choices: dict[int, JsonObject] = {}

    @property
    def whole(self) -> bool:
        """Whether every choice says why it ended; a stream that stops before was cut."""
        return bool(self._choices) and all(choice["finish_reason"] for choice in self._choices.values())

    def feed(self, chunk: JsonObject) -> None:
        """Take one chunk."""
        for key, value in chunk.items():
            if key != "choices" and (value is not None or key not in self._head):
                self._head[key] = value
        for choice in chunk.get("choices") or ():
            self._feed_choice(choice)

    def completion(self) -> JsonObject:
        """The chat completion."""
        head = dict(self._head)
        if head.get("object", _CHUNK) == _CHUNK:
            head["object"] = "chat.completion"
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**head, "choices": choices, "usage": head.get("usage")}

    def _feed_choice(self, choice: JsonObject) -> None:
        index = choice.get("index") or 0
        whole = self._choices.setdefault(
            index,
            {
                "index": index,
                "message": {"role": "assistant", "content": None, "refusal": None},
                "finish_reason": None,
                "logprobs": None,
            },
        )
        for key, value in choice.items():
            if key == "delta":
                _add(whole["message"], value or {})
            elif key == "logprobs" and isinstance(value, dict):
                whole[key] = _add(whole[key] or {}, value)
            elif value is not None:
                whole[key] = value


def _add(whole: JsonObject, delta: JsonObject) -> JsonObject:
    """Add what a delta says: texts and lists grow, calls are told apart by their index."""
    for key, value in delta.items():
        held = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif key == "tool_calls":
            whole[key] = _add_calls(held or [], value)
        elif held is None:
            whole[key] = _add({}, value) if isinstance(value, dict) else value
        elif key not in _NAMES:
            whole[key] = _joined(held, value)
    return whole


def _joined(held: Any, value: JsonValue) -> Any:
    match held, value:
        case (str(), str()) | (list(), list()):
            return held + value
        case dict(), dict():
            return _add(held, value)
        case _:
            return value


def _add_calls(calls: list[JsonObject], deltas: list[JsonObject]) -> list[JsonObject]:
    for delta in deltas:
        said = {key: value for key, value in delta.items() if key != "index"}
        at = delta.get("index")
        if not isinstance(at, int):  # some servers leave it out: then a new id is a new call
            known = [n for n, call in enumerate(calls) if delta.get("id") in (None, call.get("id"))]
            at = known[-1] if known else len(calls)
        if at >= len(calls):
            at = len(calls)
            calls.append({})
        _add(calls[at], said)
    return calls
