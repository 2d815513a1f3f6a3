"""From chat completions to the responses API: requests, and answers back to those who asked for responses."""

from collections.abc import Iterable

from regrade.core.errors import InvalidError, ModelError
from regrade.core.translation.parts import responses_content
from regrade.core.translation.strangers import refusing
from regrade.core.translation.tools import responses_call, responses_choice, responses_format, responses_tools
from regrade.core.usage import counted
from regrade.types.json import JsonObject, JsonValue

# Read below, or without meaning once translated: the answer is the same in kind without them.
_LEFT_OUT = frozenset(
    {
        *("messages", "max_tokens", "max_completion_tokens", "reasoning_effort", "response_format", "verbosity"),
        *("tools", "functions", "tool_choice", "function_call", "logprobs", "store", "stream_options"),
        *("web_search_options", "prediction", "modalities"),
        *("n", "stop", "logit_bias", "audio", "presence_penalty", "frequency_penalty"),
    }
)
_REFUSED = ("stop", "logit_bias", "audio", "presence_penalty", "frequency_penalty")


@refusing(InvalidError, "The request is not what chat completions take.")
def chat_request_to_responses(body: JsonObject) -> JsonObject:
    """A request for chat completions as one to the responses API.

    Raises InvalidError, with the path in `body`, for what that API cannot be asked: several choices, stop
    sequences, penalties, spoken answers.
    """
    _refuse(body)
    request = {field: value for field, value in body.items() if field not in _LEFT_OUT and value is not None}
    request["input"] = responses_items(body.get("messages") or [])
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None:
        request["max_output_tokens"] = limit
    if body.get("reasoning_effort") is not None:
        request["reasoning"] = {"effort": body["reasoning_effort"]}
    text = _text(body)
    if text:
        request["text"] = text
    _take_tools(request, body)
    if body.get("logprobs"):
        request["include"] = ["message.output_text.logprobs"]
    request["store"] = bool(body.get("store"))  # the defaults differ
    return request


def _refuse(body: JsonObject) -> None:
    for field in _REFUSED:
        if body.get(field):
            raise InvalidError(f"'{field}' needs an endpoint that speaks chat completions.", param=field)
    if body.get("n") not in (None, 1):
        raise InvalidError("More than one choice needs an endpoint that speaks chat completions.", param="n")


def _text(body: JsonObject) -> JsonObject:
    text: JsonObject = {}
    if body.get("response_format") is not None:
        text["format"] = responses_format(body["response_format"])
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    return text


def _take_tools(request: JsonObject, body: JsonObject) -> None:
    functions = [{"type": "function", "function": function} for function in body.get("functions") or []]
    tools = responses_tools([*(body.get("tools") or []), *functions])
    if isinstance(body.get("web_search_options"), dict):
        tools.append(_web_search(body["web_search_options"]))
    if tools:
        request["tools"] = tools
    choice = body.get("tool_choice")
    match body.get("function_call"):
        case {"name": str(name)}:
            choice = {"type": "function", "name": name}
        case str(word):
            choice = word
    if choice is not None:
        request["tool_choice"] = responses_choice(choice)


def _web_search(options: JsonObject) -> JsonObject:
    match options.get("user_location"):
        case {"approximate": dict(place)}:
            return {"type": "web_search", **options, "user_location": {"type": "approximate", **place}}
        case _:
            return {"type": "web_search", **options}


@refusing(InvalidError, "Messages are objects with a 'role' and a 'content' of text or parts.")
def responses_items(messages: JsonValue) -> list[JsonObject]:
    """Messages of either API, or a text, as input of the responses API."""
    if isinstance(messages, str):
        return [{"type": "message", "role": "user", "content": messages}]
    items: list[JsonObject] = []
    custom_calls: set[str] = set()
    for message in messages:
        if message.get("type") not in (None, "message") or "role" not in message:
            items.append(message)
            continue
        match message["role"]:
            case "assistant":
                items += _spoken(message, custom_calls)
            case "tool" | "function" as role:
                call_id = message.get("tool_call_id") or f"call_{message.get('name')}"
                kind = "custom_tool_call_output" if call_id in custom_calls else "function_call_output"
                output = responses_content(message.get("content"), role=role)
                items.append({"type": kind, "call_id": call_id, "output": output})
            case role:
                items.append(_message(message, responses_content(message.get("content"), role=role)))
    return items


def _message(message: JsonObject, content: JsonValue) -> JsonObject:
    item = {"type": "message", "role": message["role"], "content": content}
    if message.get("phase") is not None:
        item["phase"] = message["phase"]
    return item


def _spoken(message: JsonObject, custom_calls: set[str]) -> Iterable[JsonObject]:
    """What an assistant said and called, as one item each."""
    content = responses_content(message.get("content"), role="assistant")
    if message.get("refusal"):
        said = [{"type": "output_text", "text": content, "annotations": []}] if content else []
        content = [
            *(content if isinstance(content, list) else said),
            {"type": "refusal", "refusal": message["refusal"]},
        ]
    calls = message.get("tool_calls") or []
    called: JsonValue = message.get("function_call")
    if content or not (calls or called):
        yield _message(message, content)
    if called:
        yield responses_call({"id": f"call_{called.get('name')}", "function": called})
    for call in calls:
        item = responses_call(call)
        if item["type"] == "custom_tool_call":
            custom_calls.add(item["call_id"])
        yield item


# -- answers ------------------------------------------------------------------------------------------------


@refusing(ModelError, "The endpoint's answer is not what chat completions answer.")
def chat_answer_to_responses(
    answer: JsonObject, request: JsonObject, *, response_id: str | None = None
) -> JsonObject:
    """A chat completion as the answer of the responses API to `request`, which it echoes as that API does.

    Ids of items follow from the response's: `response_id`, or else one made of the completion's.
    """
    choice: JsonObject = next(iter(answer.get("choices") or []), {})
    message = choice.get("message") or {}
    output = output_items(message, choice.get("logprobs"))
    response = response_object(
        request,
        response_id=response_id or response_id_of(answer),
        created_at=answer.get("created") or 0,
        model=answer.get("model") or "",
    )
    return ended(response, output, choice.get("finish_reason"), answer)


def response_id_of(answer: JsonObject) -> str:
    """The id of the response that a chat completion, or its first chunk, becomes."""
    return f"resp_{str(answer.get('id') or '').removeprefix('chatcmpl-')}"


def response_object(request: JsonObject, *, response_id: str, created_at: int, model: str) -> JsonObject:
    """A response in progress, with what was asked."""
    reasoning = request.get("reasoning") or {}
    text = request.get("text") or {}
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "metadata": request.get("metadata") or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": request.get("previous_response_id"),
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": request.get("service_tier") or "auto",
        "store": request.get("store") is not False,
        "temperature": request.get("temperature"),
        "text": {"verbosity": "medium", **text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_logprobs": request.get("top_logprobs") or 0,
        "top_p": request.get("top_p"),
        "truncation": request.get("truncation") or "disabled",
        "usage": None,
        **({"user": request["user"]} if request.get("user") else {}),
    }


def ended(
    response: JsonObject, output: list[JsonObject], finish_reason: JsonValue, answer: JsonObject
) -> JsonObject:
    """The response once the model has stopped; the item that was cut is incomplete, and so is the response."""
    reason = incomplete_reason(finish_reason)
    for index, item in enumerate(output):
        name_item(item, response["id"], index)
        if item["type"] != "custom_tool_call":
            item["status"] = "incomplete" if reason and index == len(output) - 1 else "completed"
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "service_tier": answer.get("service_tier") or response["service_tier"],
        "output": output,
        "usage": responses_usage(answer.get("usage")),
    }


def incomplete_reason(finish_reason: JsonValue) -> str | None:
    """Why the answer is not whole; None where it is."""
    match finish_reason:
        case "length":
            return "max_output_tokens"
        case "content_filter":
            return "content_filter"
        case _:
            return None


_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


def name_item(item: JsonObject, response_id: str, index: int) -> None:
    """Give the item at this index of the output its id, and a call without one its call id."""
    suffix = f"{response_id.removeprefix('resp_')}_{index}"
    item["id"] = f"{_PREFIXES[item['type']]}_{suffix}"
    if item.get("call_id", "") is None:
        item["call_id"] = f"call_{suffix}"


def output_items(message: JsonObject, logprobs: JsonValue = None) -> list[JsonObject]:
    """What a chat message says and calls as output items, without ids and status yet."""
    items: list[JsonObject] = []
    thought = thought_of(message)
    if thought:
        part = {"type": "reasoning_text", "text": thought}
        items.append({"type": "reasoning", "summary": [], "content": [part]})
    calls = message.get("tool_calls") or []
    if message.get("function_call"):
        calls = [{"id": None, "function": message["function_call"]}, *calls]
    parts = _spoken_parts(message, logprobs)
    if not parts and not items and not calls and message.get("content") is not None:
        parts = [output_text("")]
    if parts:
        items.append({"type": "message", "role": "assistant", "content": parts})
    return items + [responses_call(call) for call in calls]


def thought_of(message: JsonObject) -> str:
    """The reasoning that some endpoints put beside the content, by either of its names."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    return thought if isinstance(thought, str) else ""


def _spoken_parts(message: JsonObject, logprobs: JsonValue) -> list[JsonObject]:
    parts: list[JsonObject] = []
    text = message.get("content") or (message.get("audio") or {}).get("transcript")
    if isinstance(text, list):
        text = "".join(part.get("text") or "" for part in text)
    if text:
        part = output_text(text)
        part["logprobs"] = (logprobs or {}).get("content") or []
        part["annotations"] = [annotation_of(annotation) for annotation in message.get("annotations") or []]
        parts.append(part)
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return parts


def output_text(text: str) -> JsonObject:
    """A part of a message that says `text`."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def annotation_of(annotation: JsonObject) -> JsonObject:
    """An annotation of a chat message in the form of the responses API."""
    match annotation:
        case {"type": "url_citation", "url_citation": dict(citation)}:
            return {"type": "url_citation", **citation}
        case _:
            return annotation


def responses_usage(usage: JsonValue) -> JsonObject | None:
    """Counts of tokens by the names of the responses API."""
    if not isinstance(usage, dict):
        return None
    tokens = counted(usage)
    input_details = usage.get("prompt_tokens_details") or {}
    output_details = usage.get("completion_tokens_details") or {}
    return {
        "input_tokens": tokens.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": tokens.cached_tokens,
            "cache_write_tokens": input_details.get("cache_write_tokens") or 0,
        },
        "output_tokens": tokens.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": output_details.get("reasoning_tokens") or 0},
        "total_tokens": tokens.total_tokens,
    }
