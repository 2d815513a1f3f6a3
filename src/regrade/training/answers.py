"""Sampled tokens as chat completions, which is how graders see what a model answered."""

import re
from collections.abc import Sequence
from typing import Any

from regrade.core.jsontext import JsonTextError, dumps, loads
from regrade.types.json import JsonObject

_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_END_OF_THOUGHT = "</think>"


def completion(tokenizer: Any, ids: Sequence[int], *, prompt_tokens: int, ended: bool, model: str) -> JsonObject:
    """One answer. What a model thinks aloud before `</think>` is its reasoning, not its answer."""
    thought, end, said = tokenizer.decode(ids, skip_special_tokens=True).rpartition(_END_OF_THOUGHT)
    message: JsonObject = {"role": "assistant", "content": said.lstrip("\n") if end else said}
    calls = _calls(said)
    if calls:
        message |= {"content": _CALL.sub("", said).strip() or None, "tool_calls": calls}
    reasoning = len(tokenizer(thought + end, add_special_tokens=False)["input_ids"]) if end else 0
    finish = "length" if not ended else "tool_calls" if calls else "stop"
    return {
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(ids),
            "total_tokens": prompt_tokens + len(ids),
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }


def is_json(answer: JsonObject) -> bool:
    """Whether the answer can be parsed, as a response format demands."""
    try:
        loads((answer["choices"][0]["message"]["content"] or "").encode())
    except JsonTextError:
        return False
    return True


def reasoning_tokens(answer: JsonObject) -> int:
    """How many tokens of the answer were thought, not said."""
    return int(answer["usage"]["completion_tokens_details"]["reasoning_tokens"])


def _calls(text: str) -> list[JsonObject]:
    """Calls of tools in the notation that most open models use."""
    calls = []
    for n, match in enumerate(_CALL.finditer(text)):
        try:
            call = loads(match[1].encode())
        except JsonTextError:
            continue
        if isinstance(call.get("name"), str):
            arguments = dumps(call.get("arguments") or {}).decode()
            calls.append(
                {"id": f"call_{n}", "type": "function", "function": {"name": call["name"], "arguments": arguments}}
            )
    return calls
