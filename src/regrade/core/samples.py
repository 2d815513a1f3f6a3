"""Answers of models, recorded or just given, as templates see them and as output items show them.

A recorded answer is a chat completion, a Responses object, something with an `output_text`, a sample of an output
item, or a mere string.
"""

from typing import Any

from regrade.core import jsontext
from regrade.core.errors import ModelError, RowError
from regrade.core.messages import flatten
from regrade.core.translation import responses_answer_to_chat
from regrade.core.translation.tools import chat_call
from regrade.core.usage import counted
from regrade.types.json import JsonObject, JsonValue


class SampleNamespace(dict[str, Any]):
    """What templates see as `sample`; `output_json`, and `choices` of a response, are made when first asked for."""

    __slots__ = ()

    def __missing__(self, key: str) -> JsonValue:
        value = None
        if key == "output_json":
            value = _parsed(self.get("output_text"))
        elif key == "choices" and self.get("object") == "response":
            value = _choices(self)
        if value is None:
            raise KeyError(key)
        self[key] = value
        return value


class Asked(dict[str, Any]):
    """The answer of a model that was asked just now, as a raw sample that knows its request."""

    __slots__ = ("request",)

    request: JsonObject


def sample_of_chat(request: JsonObject, answer: JsonObject) -> Asked:
    """The raw sample of a chat completion, for `namespace` and `answered`.

    `request` is best the one whose files are still named by their ids: what was asked is shown from it.
    """
    return _asked(request, answer, request.get("max_completion_tokens"))


def sample_of_response(request: JsonObject, answer: JsonObject) -> Asked:
    """The raw sample of a response, as `sample_of_chat`."""
    return _asked(request, answer, request.get("max_output_tokens"))


def _asked(request: JsonObject, answer: JsonObject, limit: JsonValue) -> Asked:
    raw = Asked(answer)
    raw.request = request
    raw["input_tools"] = request.get("tools") or []
    for parameter in ("temperature", "top_p", "seed"):
        raw[parameter] = request.get(parameter)
    raw["max_completion_tokens"] = limit
    return raw


def namespace(raw: JsonValue) -> JsonObject:
    """The `sample.*` namespace of a recorded answer; empty where there is none.

    Keys of the recording stay as they are, so that templates can reach all of it. Raises RowError where the
    recording is neither an object nor a string.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        if isinstance(raw, str):
            return namespace({"output_text": raw})
        raise RowError("The row's 'sample' is neither an object nor a string.")
    sample = SampleNamespace(raw)
    message = _first_choice(raw).get("message")
    if isinstance(message, dict):
        _from_message(sample, message)
    elif isinstance(raw.get("output"), list):
        _from_output(sample, raw["output"])
    _complete(sample)
    return sample


def _complete(sample: JsonObject) -> None:
    """Every documented variable exists, but for `output_text` and `output_json` where there is none."""
    if not isinstance(sample.get("output_tools"), list):
        sample["output_tools"] = []
    if sample.get("input_tools") is None:
        sample["input_tools"] = sample.get("tools") or []
    for key in ("output_audio", "output_reasoning_summary"):
        if key not in sample:
            sample[key] = None
    if "output_json" in sample and sample["output_json"] is None:
        del sample["output_json"]


def answered(raw: JsonValue) -> JsonObject:
    """The `sample` of an output item; every key is there, whatever the recording holds."""
    if not isinstance(raw, dict):
        raw = {"output_text": raw} if isinstance(raw, str) else {}
    limit = _integer(raw.get("max_completion_tokens")) or _integer(raw.get("max_output_tokens"))
    model = raw.get("model")
    return {
        "input": _input(raw.request) if isinstance(raw, Asked) else [],
        "output": _output(raw),
        "finish_reason": _finish_reason(raw),
        "model": model if isinstance(model, str) else "",
        "usage": _usage(raw.get("usage")),
        "error": _error(raw.get("error")),
        "temperature": _number(raw.get("temperature")),
        "max_completion_tokens": limit,
        "max_completions_tokens": limit,
        "top_p": _number(raw.get("top_p")),
        "seed": _integer(raw.get("seed")),
    }


def _first_choice(raw: JsonObject) -> JsonObject:
    """The first choice of a chat completion; empty where there is none."""
    choices = raw.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _from_message(sample: JsonObject, message: JsonObject) -> None:
    if not isinstance(sample.get("output_text"), str):
        sample["output_text"] = flatten(message.get("content"))
    if "output_tools" not in sample:
        sample["output_tools"] = message.get("tool_calls")
    if "output_audio" not in sample:
        sample["output_audio"] = message.get("audio")


def _from_output(sample: JsonObject, output: list[JsonValue]) -> None:
    items = [item for item in output if isinstance(item, dict)]
    if not isinstance(sample.get("output_text"), str):
        sample["output_text"] = "".join(_spoken(item["content"]) for item in items if _is_message(item))
    if "output_tools" not in sample:
        sample["output_tools"] = _tools(items)
    if "output_reasoning_summary" not in sample:
        sample["output_reasoning_summary"] = _reasoning_summary(items)


def _is_message(item: JsonObject) -> bool:
    """Messages of a Responses object say their type; those of an output item's sample only their role."""
    return item.get("type", "message") == "message" and "content" in item


def _spoken(content: JsonValue) -> str:
    """The text of a Responses message: its parts follow each other without anything between."""
    if isinstance(content, list):
        return "".join(map(flatten, content))
    return flatten(content)


def _tools(items: list[JsonObject]) -> list[JsonObject]:
    """Calls of tools: those of functions and custom tools in chat form, others as they are."""
    tools: list[JsonObject] = []
    for item in items:
        kind = item.get("type")
        if _is_message(item) and isinstance(item.get("tool_calls"), list):
            tools += item["tool_calls"]
        elif kind in ("function_call", "custom_tool_call"):
            tools.append(chat_call(item))
        elif isinstance(kind, str) and kind.endswith("_call"):
            tools.append(item)
    return tools


def _reasoning_summary(items: list[JsonObject]) -> str | None:
    texts = [
        part["text"]
        for item in items
        if item.get("type") == "reasoning" and isinstance(item.get("summary"), list)
        for part in item["summary"]
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    return "\n".join(texts) if texts else None


def _choices(response: JsonObject) -> JsonValue:
    """A response in the form of chat completions; None where it has failed or is none."""
    try:
        return responses_answer_to_chat(response)["choices"]
    except ModelError:
        return None


def _input(request: JsonObject) -> list[JsonObject]:
    """What a model was asked, as flat messages."""
    messages = request.get("messages")
    if messages is None:
        messages = request.get("input") or []
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if request.get("instructions"):
            messages = [{"role": "system", "content": request["instructions"]}, *messages]
    return [_flat(message) for message in messages if message.get("type") != "reasoning"]


def _flat(message: JsonObject) -> JsonObject:
    match message.get("type"):
        case None | "message":
            shown = {key: message.get(key) for key in ("tool_call_id", "tool_calls", "function_call")}
            return {"role": message.get("role"), "content": flatten(message.get("content")), **shown}
        case "function_call" | "custom_tool_call":
            return _flat({"role": "assistant", "tool_calls": [chat_call(message)]})
        case "function_call_output" | "custom_tool_call_output":
            content = message.get("output")
            return _flat({"role": "tool", "content": content, "tool_call_id": message.get("call_id")})
        case kind:
            return _flat({"role": str(kind), "content": jsontext.dumps(message).decode()})


def _output(raw: JsonObject) -> list[JsonObject]:
    """Messages with flat texts and, in chat form, the tool calls."""
    choices = raw.get("choices")
    if isinstance(choices, list) and choices:
        messages = [choice["message"] for choice in choices if isinstance(choice, dict) and "message" in choice]
        return [_message(message) for message in messages if isinstance(message, dict)]
    if isinstance(raw.get("output"), list):
        return _output_of_response([item for item in raw["output"] if isinstance(item, dict)])
    text = raw.get("output_text")
    return [{"role": "assistant", "content": text}] if isinstance(text, str) else []


def _output_of_response(items: list[JsonObject]) -> list[JsonObject]:
    messages = [_said(item) for item in items if _is_message(item)]
    tools = _tools([item for item in items if not _is_message(item)])
    if tools:
        messages = messages or [{"role": "assistant", "content": ""}]
        messages[-1]["tool_calls"] = tools
    return messages


def _said(item: JsonObject) -> JsonObject:
    message = {**_message(item), "content": _spoken(item["content"])}
    if isinstance(item["content"], list):
        for part in item["content"]:
            match part:
                case {"type": "refusal", "refusal": str(refusal)}:
                    message["refusal"] = refusal
    return message


def _message(message: JsonObject) -> JsonObject:
    answer = {"role": message.get("role") or "assistant", "content": flatten(message.get("content"))}
    if len(message) > 2:  # noqa: PLR2004 - most messages are a role and a content
        for key in ("tool_calls", "function_call", "refusal", "audio"):
            if message.get(key) is not None:
                answer[key] = message[key]
    return answer


def _finish_reason(raw: JsonObject) -> str:
    reason = _first_choice(raw).get("finish_reason") or raw.get("finish_reason")
    if isinstance(reason, str):
        return reason
    match raw:
        case {"incomplete_details": {"reason": str(reason)}}:
            return "length" if reason == "max_output_tokens" else reason
        case {"status": "completed", "output": [*_]}:
            return "stop"
        case _:
            return ""


def _usage(usage: JsonValue) -> JsonObject:
    """Counts of tokens as recorded by chat completions, by responses or by output items; 0 where unknown."""
    tokens = counted(usage)
    return {
        "total_tokens": tokens.total_tokens,
        "completion_tokens": tokens.completion_tokens,
        "prompt_tokens": tokens.prompt_tokens,
        "cached_tokens": tokens.cached_tokens,
    }


def _error(error: JsonValue) -> JsonObject | None:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return None
    code = error.get("code")
    return {"code": code if isinstance(code, str) else "", "message": error["message"]}


def _integer(value: JsonValue) -> int | None:
    return value if type(value) is int else None


def _number(value: JsonValue) -> float | None:
    return value if type(value) in (int, float) else None


def _parsed(text: JsonValue) -> JsonValue:
    """The object or array that a text is; None where it is none."""
    # Most answers are prose, and to learn that from a parser's exception takes microseconds.
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = jsontext.loads(text.encode("utf-8", "replace"))
    except jsontext.JsonTextError:
        return None
    return value if isinstance(value, dict | list) else None
