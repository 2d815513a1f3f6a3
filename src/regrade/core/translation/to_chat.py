"""From the responses API to chat completions: requests, and answers back to those who asked for chat."""

from typing import Any

from regrade.core.errors import InvalidError, ModelError
from regrade.core.translation.parts import chat_content
from regrade.core.translation.strangers import refusing
from regrade.core.translation.tools import chat_call, chat_choice, chat_format, chat_tools
from regrade.core.usage import counted
from regrade.types.json import JsonObject, JsonValue

# What only an endpoint with the responses API can do; `false` asks for nothing.
_REFUSED = ("background", "conversation", "previous_response_id", "prompt")
# Read below, or meaningful to the responses API alone: left out, the answer is the same in kind.
_LEFT_OUT = frozenset(
    {
        *_REFUSED,
        *("input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice", "include"),
        *("access_programs", "background_options", "context_management", "image", "max_tool_calls", "store"),
        *("parallel_tool_calls", "stream_options", "truncation"),
    }
)
_FINISH_REASONS = {"max_output_tokens": "length", "max_messages": "length"}


@refusing(InvalidError, "The request is not what the responses API takes.")
def responses_request_to_chat(body: JsonObject) -> JsonObject:
    """A request to the responses API as one for chat completions.

    Raises InvalidError, with the path in `body`, for what has no form there: tools other than functions and custom
    ones, references to stored responses, items of other tools.
    """
    for field in _REFUSED:
        if body.get(field):
            raise InvalidError(f"'{field}' needs an endpoint that speaks the responses API.", param=field)
    chat = {field: value for field, value in body.items() if field not in _LEFT_OUT and value is not None}
    chat["messages"] = _instructions(body.get("instructions")) + chat_messages(body.get("input") or [])
    if (limit := body.get("max_output_tokens")) is not None:
        chat["max_completion_tokens"] = limit
    match body.get("reasoning"):
        case {"effort": str(effort)}:
            chat["reasoning_effort"] = effort
    _take_text(chat, body.get("text"))
    if body.get("tools"):
        chat["tools"] = chat_tools(body["tools"])
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = chat_choice(body["tool_choice"])
        if body.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = body["parallel_tool_calls"]
    if body.get("top_logprobs") or "message.output_text.logprobs" in (body.get("include") or ()):
        chat["logprobs"] = True
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return chat


def _instructions(instructions: JsonValue) -> list[JsonObject]:
    if not instructions:
        return []
    if isinstance(instructions, str):
        return [{"role": "system", "content": instructions}]
    return chat_messages(instructions, at="instructions")


def _take_text(chat: JsonObject, text: JsonValue) -> None:
    if not isinstance(text, dict):
        return
    if text.get("format") is not None:
        chat["response_format"] = chat_format(text["format"])
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]


@refusing(InvalidError, "Messages are objects with a 'role' and a 'content' of text or parts.")
def chat_messages(items: JsonValue, *, at: str = "input", developer: str = "system") -> list[JsonObject]:
    """Input of the responses API, or messages of either API, as messages of chat completions.

    What an assistant says and calls becomes one message. `developer` is what the role of that name becomes: models
    behind plain chat endpoints know `system` alone.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[JsonObject] = []
    for index, item in enumerate(items):
        path = f"{at}[{index}]"
        match item.get("type"):
            case None | "message" if "role" in item:
                messages.append(_message(item, developer, f"{path}.content"))
            case "function_call" | "custom_tool_call":
                _speaker(messages).setdefault("tool_calls", []).append(chat_call(item))
            case "function_call_output" | "custom_tool_call_output":
                output = chat_content(item.get("output"), at=f"{path}.output")
                messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output or ""})
            case "reasoning":
                continue  # chat completions have no place for it in a request
            case kind:
                raise InvalidError(
                    f"An item of type '{kind or 'item_reference'}' cannot be sent by chat completions; it needs an "
                    "endpoint that speaks the responses API.",
                    param=path,
                )
    return messages


def _speaker(messages: list[JsonObject]) -> JsonObject:
    """The assistant's message that a call belongs to."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _message(item: JsonObject, developer: str, at: str) -> JsonObject:
    role = item["role"]
    content = chat_content(item.get("content"), at=at)
    message = {"role": developer if role == "developer" else role, "content": content}
    if role == "assistant":
        if isinstance(content, list):
            _join_spoken(message, content)
        for key in ("tool_calls", "function_call", "refusal", "audio", "name"):
            if item.get(key) is not None:
                message[key] = item[key] if key != "tool_calls" else [*item[key]]
    elif len(item) > 2:  # noqa: PLR2004 - most messages are a role and a content
        for key in ("tool_call_id", "name"):
            if item.get(key) is not None:
                message[key] = item[key]
    return message


def _join_spoken(message: JsonObject, parts: list[JsonObject]) -> None:
    """What an assistant said, as one text and its refusal, unless it said something else too."""
    if all(part["type"] in ("text", "refusal") for part in parts):
        texts = [part["text"] for part in parts if part["type"] == "text"]
        refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
        message["content"] = "".join(texts) if texts else None
        if refusals:
            message["refusal"] = "".join(refusals)


# -- answers ------------------------------------------------------------------------------------------------


@refusing(ModelError, "The endpoint's answer is not what the responses API answers.")
def responses_answer_to_chat(answer: JsonObject) -> JsonObject:
    """An answer of the responses API as a chat completion; raises ModelError where it holds a failure."""
    refuse_failure(answer)
    chat = {
        "id": f"chatcmpl-{str(answer.get('id') or '').removeprefix('resp_')}",
        "object": "chat.completion",
        "created": int(answer.get("created_at") or 0),
        "model": answer.get("model") or "",
        "choices": chat_choices(answer),
        "usage": chat_usage(answer.get("usage")),
    }
    if answer.get("service_tier") is not None:
        chat["service_tier"] = answer["service_tier"]
    return chat


def refuse_failure(answer: JsonObject) -> None:
    """Raise ModelError, in the endpoint's own words, where a response has failed or was cancelled."""
    status = answer.get("status")
    if status not in ("failed", "cancelled"):
        return
    match answer.get("error"):
        case {"message": str(message), "code": str(code)}:
            raise ModelError(message, code=code)
        case {"message": str(message)}:
            raise ModelError(message)
        case _:
            raise ModelError(f"The response ended as '{status}' without saying why.")


def chat_choices(answer: JsonObject) -> list[JsonObject]:
    """The one choice that a response is, in the form of chat completions; items of other tools have no place."""
    message: JsonObject = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    texts: list[str] = []
    logprobs: list[Any] = []
    calls: list[JsonObject] = []
    for item in answer.get("output") or []:
        match item:
            case {"type": "message", "content": list(parts)}:
                for part in parts:
                    _take_part(message, part, texts, logprobs)
            case {"type": "function_call" | "custom_tool_call"}:
                calls.append(chat_call(item))
            case {"type": "reasoning", "content": [*thoughts]} if thoughts:
                text = "".join(part.get("text") or "" for part in thoughts)
                message["reasoning_content"] = message.get("reasoning_content", "") + text
    if texts:
        message["content"] = "".join(texts)
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(answer, called=bool(calls))}
    return [{**choice, "logprobs": {"content": logprobs, "refusal": None} if logprobs else None}]


def _take_part(message: JsonObject, part: JsonObject, texts: list[str], logprobs: list[Any]) -> None:
    match part:
        case {"type": "refusal", "refusal": str(refusal)}:
            message["refusal"] = (message["refusal"] or "") + refusal
        case {"type": "output_text", "text": str(text)}:
            texts.append(text)
            logprobs += part.get("logprobs") or []
            for annotation in part.get("annotations") or []:
                if annotation.get("type") == "url_citation":
                    citation = {key: value for key, value in annotation.items() if key != "type"}
                    message["annotations"].append({"type": "url_citation", "url_citation": citation})


def finish_reason(answer: JsonObject, *, called: bool) -> str:
    """Why a response ended, in the words of chat completions."""
    if answer.get("status") == "incomplete":
        reason: str = (answer.get("incomplete_details") or {}).get("reason") or "max_output_tokens"
        return _FINISH_REASONS.get(reason, reason)
    return "tool_calls" if called else "stop"


def chat_usage(usage: JsonValue) -> JsonObject | None:
    """Counts of tokens by the names of chat completions."""
    if not isinstance(usage, dict):
        return None
    tokens = counted(usage)
    prompt_details = usage.get("input_tokens_details") or {}
    completion_details = usage.get("output_tokens_details") or {}
    return {
        "prompt_tokens": tokens.prompt_tokens,
        "completion_tokens": tokens.completion_tokens,
        "total_tokens": tokens.total_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, **prompt_details},
        "completion_tokens_details": {"reasoning_tokens": 0, **completion_details},
    }
