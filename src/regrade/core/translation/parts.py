"""Parts of messages in both APIs: texts, images, sounds, files and refusals."""

from regrade.core.errors import InvalidError
from regrade.types.json import JsonObject, JsonValue

_BARE = {"type", "text"}
"""What a text part has that says nothing of itself, such as where a cache ends."""


def chat_content(content: JsonValue, *, at: str) -> JsonValue:
    """Content as chat completions take it; a single text is a mere string, which every endpoint reads."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    converted = [chat_part(part, at=at) for part in parts]
    if not converted:
        return ""
    if len(converted) == 1 and converted[0]["type"] == "text":
        return converted[0]["text"]
    return converted


def chat_part(part: JsonValue, *, at: str) -> JsonObject:
    """One part in the form of chat completions; parts that have it already stay as they are.

    An image that names a file keeps `file_id` in place of `url`, until the file is put in (core/message_files).
    """
    match part:
        case str():
            return {"type": "text", "text": part}
        case {"type": "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "input_image"}:
            return {
                "type": "image_url",
                "image_url": _chosen(part, image_url="url", file_id="file_id", detail="detail"),
            }
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "input_file"}:
            return _chat_file(part, at)
        case {"type": "image_url" | "input_audio" | "file" | "refusal"} as known:
            return {**known}
        case {"type": str(kind)}:
            raise InvalidError(f"Content of type '{kind}' cannot be sent by chat completions.", param=at)
        case _:
            raise InvalidError(
                "A part of a message's content must be an object with a 'type', or a text.", param=at
            )


def _chat_file(part: JsonObject, at: str) -> JsonObject:
    if part.get("file_url") is not None:
        raise InvalidError(
            "Chat completions take no file by its URL: send its bytes in 'file_data', or upload it and name its "
            "'file_id'.",
            param=at,
        )
    return {"type": "file", "file": _chosen(part, file_data="file_data", file_id="file_id", filename="filename")}


def responses_content(content: JsonValue, *, role: JsonValue) -> JsonValue:
    """Content as the responses API takes it; strings stay strings."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    match parts:
        case [str(text)] | [{"type": _, "text": str(text)}] if (
            isinstance(parts[0], str) or parts[0].keys() == _BARE
        ):
            return text
    return [responses_part(part, role=role) for part in parts]


def responses_part(part: JsonValue, *, role: JsonValue = "user") -> JsonValue:
    """One part in the form of the responses API; parts that are unknown here stay as they are."""
    match part:
        case {"type": "refusal" | "input_audio"}:
            return part
        case {"type": "image_url", "image_url": dict(image)}:
            return {
                "type": "input_image",
                "detail": "auto",
                **_chosen(image, url="image_url", file_id="file_id", detail="detail"),
            }
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "input_image", "detail": "auto", "image_url": url}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file", **file}
        case _:
            text = _text_of(part)
            if text is None:
                return part
            return (
                {"type": "output_text", "text": text, "annotations": []}
                if role == "assistant"
                else _input_text(part, text)
            )


def _input_text(part: JsonValue, text: str) -> JsonObject:
    return {**part, "type": "input_text"} if isinstance(part, dict) else {"type": "input_text", "text": text}


def _text_of(part: JsonValue) -> str | None:
    match part:
        case str():
            return part
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return text
        case _:
            return None


def _chosen(fields: JsonObject, **names: str) -> JsonObject:
    """The named fields that are given, by their new names."""
    return {new: fields[old] for old, new in names.items() if fields.get(old) is not None}
