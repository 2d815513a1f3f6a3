"""Messages and tools of training rows: read field by field into the form that chat templates take."""

import base64
import binascii
import re

from regrade.core.errors import RowError
from regrade.types.json import JsonObject, JsonValue

MAX_TOOLS = 128
MAX_IMAGES = 10
MAX_IMAGE_BYTES = 10 * 1024 * 1024

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_DATA_URL = re.compile(r"data:image/(?:jpeg|jpg|png|webp);base64,", re.IGNORECASE)
_REMOTE = re.compile(r"https?://", re.IGNORECASE)
_SIGNATURES = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): "png",
    re.compile(rb"\xff\xd8\xff"): "jpeg",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "webp",
}


def conversation(value: JsonValue, at: str, *, no_images: str | None) -> list[JsonObject]:
    """A row's messages, of which there is at least one; tool messages answer calls that were made.

    `no_images` says why there can be none, where that is so. Images at addresses stay as they are.
    """
    messages = read_messages(value, at, no_images=no_images)
    images = sum(len(image_parts(message)) for message in messages)
    if images > MAX_IMAGES:
        raise RowError(f"there are {images} images, but a row can have at most {MAX_IMAGES}.", param=at)
    return messages


def image_parts(message: JsonObject) -> list[JsonObject]:
    """The images of a message in normal form."""
    content = message.get("content")
    return [part for part in content if part["type"] == "image_url"] if isinstance(content, list) else []


def is_remote(url: str) -> bool:
    """Whether an image has to be fetched."""
    return _REMOTE.match(url) is not None


def kind_of(image: bytes, at: str) -> str:
    """Of which kind an image is; `at` is where it stands. Raises RowError for one that cannot be learned from."""
    if len(image) > MAX_IMAGE_BYTES:
        raise RowError(f"the image is larger than {MAX_IMAGE_BYTES >> 20} MiB.", param=at)
    kind = next((kind for signature, kind in _SIGNATURES.items() if signature.match(image)), None)
    if kind is None:
        raise RowError("it is no JPEG, PNG or WEBP image.", param=at)
    return kind


def read_messages(value: JsonValue, at: str, *, no_images: str | None) -> list[JsonObject]:
    """A list of messages in normal form. Raises RowError with the path of what is wrong."""
    if not isinstance(value, list):
        raise RowError("it must be a list of messages.", param=at)
    if not value:
        raise RowError("there must be at least one message.", param=at)
    messages: list[JsonObject] = []
    for n, message in enumerate(value):
        messages.append(_message(message, f"{at}[{n}]", messages, no_images=no_images))
    return messages


def read_tools(row: JsonObject, *, at: str = "") -> JsonObject:
    """`{"tools": [...]}` of a row that has tools, or legacy functions; `{}` of one that has none."""
    key = "tools" if row.get("tools") is not None else "functions"
    value = row.get(key)
    if value is None:
        return {}
    path = f"{at}{key}"
    if not isinstance(value, list) or len(value) > MAX_TOOLS or (key == "functions" and not value):
        raise RowError(f"it must be a list of at most {MAX_TOOLS} {key}.", param=path)
    tools = []
    for n, entry in enumerate(value):
        here = f"{path}[{n}]"
        if key == "functions":
            tools.append({"type": "function", "function": _function(entry, here)})
            continue
        if not isinstance(entry, dict) or entry.get("type", "function") != "function":
            raise RowError("it must be an object of the type 'function'.", param=here)
        tools.append({"type": "function", "function": _function(entry.get("function"), f"{here}.function")})
    return {"tools": tools} if tools else {}


def _function(value: JsonValue, at: str) -> JsonObject:
    if not isinstance(value, dict):
        raise RowError("it must be an object with a name.", param=at)
    if not isinstance(value.get("name"), str) or not value["name"]:
        raise RowError("it must be a string that is not empty.", param=f"{at}.name")
    if not isinstance(value.get("parameters", {}) or {}, dict):
        raise RowError("it must be a JSON Schema.", param=f"{at}.parameters")
    return value


def _message(value: JsonValue, at: str, before: list[JsonObject], *, no_images: str | None) -> JsonObject:
    if not isinstance(value, dict):
        raise RowError("it must be an object with a role and a content.", param=at)
    role = value.get("role")
    if role not in _ROLES:
        raise RowError(f"it must be one of {', '.join(_ROLES)}.", param=f"{at}.role")
    if "weight" in value and value["weight"] is not None and role != "assistant":
        raise RowError("only assistant messages have a weight.", param=f"{at}.weight")
    if role == "assistant":
        return _assistant(value, at, before)
    content = _content(value.get("content"), f"{at}.content", images=role == "user", no_images=no_images)
    if role in ("tool", "function"):
        return {"role": "tool", "content": content, **_answers(value, at, before)}
    return {"role": "system" if role == "developer" else role, "content": content, **_name(value, at)}


def _assistant(value: JsonObject, at: str, before: list[JsonObject]) -> JsonObject:
    message: JsonObject = {"role": "assistant", **_name(value, at)}
    calls = _calls(value, at, before)
    content = value.get("content")
    if content is None and isinstance(value.get("refusal"), str):
        content = value["refusal"]
    if content is None and not calls:
        raise RowError("an assistant message needs a content or tool calls.", param=f"{at}.content")
    message["content"] = "" if content is None else _content(content, f"{at}.content", images=False, no_images=None)
    if calls:
        message["tool_calls"] = calls
    weight = value.get("weight")
    if weight is not None:
        if isinstance(weight, bool) or weight not in (0, 1):
            raise RowError("it must be 0 or 1.", param=f"{at}.weight")
        message["weight"] = int(weight)
    return message


def _calls(value: JsonObject, at: str, before: list[JsonObject]) -> list[JsonObject]:
    legacy = value.get("function_call")
    if legacy is not None:
        return [_call({"function": legacy}, f"{at}.function_call", f"call_{len(before)}", inner="")]
    calls = value.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list) or not calls:
        raise RowError("it must be a list of calls that is not empty.", param=f"{at}.tool_calls")
    found = []
    for n, call in enumerate(calls):
        here = f"{at}.tool_calls[{n}]"
        if not isinstance(call, dict) or call.get("type", "function") != "function":
            raise RowError("it must be an object of the type 'function'.", param=here)
        if not isinstance(call.get("id"), str):
            raise RowError("it must be a string: answers of tools name it.", param=f"{here}.id")
        found.append(_call(call, here, call["id"], inner=".function"))
    return found


def _call(call: JsonObject, at: str, call_id: str, *, inner: str) -> JsonObject:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError("it must be an object with a name and arguments.", param=f"{at}{inner}")
    if not isinstance(function.get("arguments"), str):
        raise RowError("it must be a string of JSON.", param=f"{at}{inner}.arguments")
    named = {"name": function["name"], "arguments": function["arguments"]}
    return {"id": call_id, "type": "function", "function": named}


def _answers(value: JsonObject, at: str, before: list[JsonObject]) -> JsonObject:
    """Which call a tool's message answers: the one that it names, or for a legacy function the last one."""
    ids = [call["id"] for message in before for call in message.get("tool_calls", ())]
    if value["role"] == "function":
        if not ids:
            raise RowError("there is no call before it that it could answer.", param=at)
        return {"tool_call_id": ids[-1], **_name(value, at)}
    call_id = value.get("tool_call_id")
    if not isinstance(call_id, str):
        raise RowError("it must be the id of a tool call.", param=f"{at}.tool_call_id")
    return {"tool_call_id": call_id, **_name(value, at)}


def _name(value: JsonObject, at: str) -> JsonObject:
    name = value.get("name")
    if name is None:
        return {}
    if not isinstance(name, str):
        raise RowError("it must be a string.", param=f"{at}.name")
    return {"name": name}


def _content(value: JsonValue, at: str, *, images: bool, no_images: str | None) -> str | list[JsonObject]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RowError("it must be a string or a list of parts.", param=at)
    parts = [_part(part, f"{at}[{n}]", images=images, no_images=no_images) for n, part in enumerate(value)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(value: JsonValue, at: str, *, images: bool, no_images: str | None) -> JsonObject:
    match value:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)} | {
            "type": "refusal",
            "refusal": str(text),
        }:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": image}:
            url = image.get("url") if isinstance(image, dict) else image
            return _image(url, f"{at}.image_url", images=images, no_images=no_images)
        case {"type": str(kind)} if kind not in ("text", "image_url"):
            raise RowError(f"parts of the type '{kind[:40]}' cannot be learned from.", param=f"{at}.type")
        case _:
            raise RowError("it must be a part with a type and what that type holds.", param=at)


def _image(url: JsonValue, at: str, *, images: bool, no_images: str | None) -> JsonObject:
    if not images:
        raise RowError("only user messages can hold images.", param=at)
    if no_images is not None:
        raise RowError(no_images, param=at)
    if not isinstance(url, str):
        raise RowError("it must be an object with a 'url'.", param=at)
    if is_remote(url):
        return {"type": "image_url", "image_url": {"url": url}}
    start = _DATA_URL.match(url)
    if start is None:
        raise RowError(
            "it must begin with http:// or https://, or be a data URL with a JPEG, PNG or WEBP image in base64.",
            param=f"{at}.url",
        )
    try:
        image = base64.b64decode(url[start.end() :], validate=True)
    except binascii.Error as error:
        raise RowError("its base64 is not valid.", param=f"{at}.url") from error
    kind_of(image, f"{at}.url")
    return {"type": "image_url", "image_url": {"url": url}}
