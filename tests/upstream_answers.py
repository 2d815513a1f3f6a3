"""What the models of the stand-in upstream say, in the form of each API; see upstream.py."""

import base64
import hashlib
import json
import re
import struct

import orjson

CREATED = 1_700_000_000
DIMENSIONS = 64


# -- what the models say ------------------------------------------------------------------------------------


class Reply:
    """One model's answer, before it takes the form of an API."""

    def __init__(self, text="", *, finish="stop", calls=(), refusal=None, thought=None):
        self.text, self.finish, self.calls, self.refusal, self.thought = text, finish, list(calls), refusal, thought


def reply_to(answer, body):
    """What a model of this name says; None where there is no such model."""
    name, _, value = answer.partition("=")
    make = SAYS.get(name)
    return make and make(body, text_of(last_message(body).get("content")), value)


def parts(body):
    content = last_message(body).get("content")
    return ",".join(part.get("type", "?") for part in content) if isinstance(content, list) else "text"


def tool(body, text, _value):
    if is_tool_output(messages_of(body)[-1]):
        return Reply(text)
    return Reply(calls=calls_of(body, text), finish="tool_calls")


SAYS = {
    "echo": lambda body, text, value: Reply(text),
    "upper": lambda body, text, value: Reply(text.upper()),
    "request": lambda body, text, value: Reply(json.dumps(body)),
    "parts": lambda body, text, value: Reply(parts(body)),
    "json": lambda body, text, value: Reply(json.dumps(fitting(schema_of(body), text))),
    "judge": lambda body, text, value: Reply(json.dumps(fitting(schema_of(body), text, judging=True))),
    "tool": tool,
    "refusal": lambda body, text, value: Reply(refusal="I'm sorry, I cannot help with that."),
    "truncated": lambda body, text, value: Reply(text[: len(text) // 2], finish="length"),
    "think": lambda body, text, value: Reply(text, thought="Let me think."),
    "filtered": lambda body, text, value: Reply("", finish="content_filter"),
    "say": lambda body, text, value: Reply(value),
    "long": lambda body, text, value: Reply(" ".join(f"word{n}" for n in range(int(value)))),
}


def messages_of(body):
    if "messages" in body:
        return body["messages"]
    given = body.get("input") or []
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def last_message(body):
    messages = messages_of(body)
    users = [each for each in messages if each.get("role") == "user"]
    if messages and is_tool_output(messages[-1]):
        return {**messages[-1], "content": messages[-1].get("content", messages[-1].get("output"))}
    return (users or messages or [{}])[-1]


def is_tool_output(message):
    return message.get("role") == "tool" or message.get("type") == "function_call_output"


def text_of(content):
    if isinstance(content, list):
        return " ".join(part if isinstance(part, str) else part.get("text", "") for part in content).strip()
    return content or ""


def schema_of(body):
    form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    return form.get("schema") or (form.get("json_schema") or {}).get("schema") or {"type": "object"}


def fitting(schema, text, *, judging=False, name="", root=None):
    """A value that fits the schema."""
    root = root or schema
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return fitting(found, text, judging=judging, name=name, root=root)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return fitting(schema[union][0], text, judging=judging, name=name, root=root)
    if "const" in schema or "enum" in schema:
        return chosen([schema["const"]] if "const" in schema else schema["enum"], text, judging=judging)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [fitting(schema.get("items", {"type": "string"}), text, judging=judging, root=root)]
    if kind == "object":
        properties = schema.get("properties", {})
        return {key: fitting(each, text, judging=judging, name=key, root=root) for key, each in properties.items()}
    if kind in ("integer", "number"):
        score = re.search(r"score\D{0,3}(-?\d+(?:\.\d+)?)", text, re.IGNORECASE)
        return float(score[1]) if judging and name == "result" and score else schema.get("minimum", 1)
    return {"string": text, "boolean": True}.get(kind)


def chosen(values, text, *, judging):
    named = [each for each in values if isinstance(each, str) and each.lower() in text.lower()]
    return (named if judging and named else values)[0]


def calls_of(body, text):
    calls = []
    for tool in body.get("tools") or []:
        function = tool.get("function", tool)
        if tool.get("type") == "function":
            arguments = json.dumps(fitting(function.get("parameters") or {}, text))
            calls.append((f"call_{len(calls)}", function["name"], arguments))
    return calls


def usage_of(body, reply):
    asked = sum(len(text_of(message.get("content")).split()) for message in messages_of(body))
    said = len((reply.text or reply.refusal or "").split()) + sum(len(call[2].split()) for call in reply.calls)
    return asked, said


# -- chat completions ---------------------------------------------------------------------------------------


def chat_answer(body, reply, model):
    message = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal}
    if reply.text or not (reply.calls or reply.refusal):
        message["content"] = reply.text
    if reply.thought:
        message["reasoning_content"] = reply.thought
    if reply.calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in reply.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
    return {
        "id": f"chatcmpl-{digest(body)}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{**choice, "index": index} for index in range(body.get("n") or 1)],
        "usage": chat_usage(*usage_of(body, reply)),
    }


def chat_usage(asked, said):
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def chat_events(body, reply, model):
    head = {"id": f"chatcmpl-{digest(body)}", "object": "chat.completion.chunk", "created": CREATED, "model": model}

    def chunk(delta, finish=None):
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "" if not reply.calls else None})
    if reply.thought:
        yield chunk({"reasoning_content": reply.thought})
    for piece in pieces(reply.text):
        yield chunk({"content": piece})
    for piece in pieces(reply.refusal or ""):
        yield chunk({"refusal": piece})
    for index, (id_, name, arguments) in enumerate(reply.calls):
        function = {"name": name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]})
        for piece in pieces(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, reply.finish)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": chat_usage(*usage_of(body, reply))}


# -- responses ----------------------------------------------------------------------------------------------


def responses_answer(body, reply, model):
    asked, said = usage_of(body, reply)
    why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.finish)
    status = "incomplete" if why else "completed"
    return {
        **response_head(body, model),
        "status": status,
        "incomplete_details": {"reason": why} if why else None,
        "output": output_items(body, reply, status),
        "usage": {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + said,
        },
    }


def response_head(body, model):
    kept = (
        "instructions",
        "metadata",
        "temperature",
        "top_p",
        "max_output_tokens",
        "previous_response_id",
        "reasoning",
    )
    return {
        "id": f"resp_{digest(body)}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "text": body.get("text") or {"format": {"type": "text"}},
        "usage": None,
        **{key: body.get(key) for key in kept},
    }


def output_items(body, reply, status="completed"):
    name = digest(body)
    items = []
    if reply.thought:
        summary = [{"type": "summary_text", "text": reply.thought}]
        items.append({"id": f"rs_{name}", "type": "reasoning", "summary": summary, "status": "completed"})
    for id_, function, arguments in reply.calls:
        call = {"type": "function_call", "call_id": id_, "name": function, "arguments": arguments}
        items.append({"id": f"fc_{name}{len(items)}", "status": "completed", **call})
    if not reply.calls:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        if reply.refusal:
            part = {"type": "refusal", "refusal": reply.refusal}
        items.append(
            {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": status, "content": [part]}
        )
    return items


def responses_events(body, reply, model):
    whole = responses_answer(body, reply, model)
    begun = response_head(body, model)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(whole["output"]):
        yield from item_events(index, item)
    kind = "response.completed" if whole["status"] == "completed" else "response.incomplete"
    yield {"type": kind, "response": whole}


def item_events(index, item):
    place = {"output_index": index, "item_id": item["id"]}
    empty = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}
    begun = {**item, "status": "in_progress", **empty[item["type"]]}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    if item["type"] == "function_call":
        kind = "response.function_call_arguments"
        for piece in pieces(item["arguments"]):
            yield {"type": f"{kind}.delta", **place, "delta": piece}
        yield {"type": f"{kind}.done", **place, "name": item["name"], "arguments": item["arguments"]}
    for at, part in enumerate(item.get("content") or ()):
        where = {**place, "content_index": at}
        key = "text" if part["type"] == "output_text" else "refusal"
        kind = "response.output_text" if key == "text" else "response.refusal"
        yield {"type": "response.content_part.added", **where, "part": {**part, key: ""}}
        logprobs = {"logprobs": []} if key == "text" else {}
        for piece in pieces(part[key]):
            yield {"type": f"{kind}.delta", **where, "delta": piece, **logprobs}
        yield {"type": f"{kind}.done", **where, key: part[key], **logprobs}
        yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


# -- embeddings ---------------------------------------------------------------------------------------------


def embeddings_answer(body, model):
    given = body.get("input") or []
    texts = [given] if isinstance(given, str) else given
    size = body.get("dimensions") or DIMENSIONS
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": embedding(str(text), size, body.get("encoding_format")),
        }
        for index, text in enumerate(texts)
    ]
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}


def embedding(text, size, form):
    """A bag of words on the unit sphere: texts that share words are close."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % size] += 1.0
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    vector = [value / length for value in vector]
    return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if form == "base64" else vector


def pieces(text):
    return re.findall(r"\S+\s*|\s+", text)


def digest(body):
    return hashlib.md5(orjson.dumps(body), usedforsecurity=False).hexdigest()


def error(message, code=None, param=None, kind="server_error"):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
