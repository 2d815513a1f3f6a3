"""Messages to and from models: the form in which they are answered, and their plain text."""

from regrade.types.json import JsonObject, JsonValue


def normalise(messages: list[JsonObject]) -> list[JsonObject]:
    """Messages as answered: each says its type, and a mere string has become a part; lists stay as sent."""
    return [_normalised(message) for message in messages]


def flatten(content: JsonValue) -> str:
    """Content as one string: its parts joined by spaces, images and sounds as `<image>URL</image>`, `<audio>`."""
    if type(content) is str:
        return content
    if isinstance(content, list):
        return " ".join(filter(None, map(flatten, content)))
    if isinstance(content, dict):
        return _part_text(content)
    return ""


def _normalised(message: JsonObject) -> JsonObject:
    if message.get("type") not in (None, "message"):
        return message
    answer = {"type": "message", **message}
    answer["type"] = "message"
    if isinstance(answer.get("content"), str):
        answer["content"] = {"type": "input_text", "text": answer["content"]}
    return answer


def _part_text(part: JsonObject) -> str:
    match part:
        case {"text": str(text)}:
            return text
        case {"image_url": {"url": str(url)} | {"file_id": str(url)} | str(url)}:
            return f"<image>{url}</image>"
        case {"type": "input_image", "file_id": str(file_id)}:
            return f"<image>{file_id}</image>"
        case {"input_audio": {"data": str(sound)}}:
            return f"<audio>{sound}</audio>"
        case {"type": "input_file"} | {"type": "file", "file": dict()}:
            file = part.get("file", part)
            name = file.get("filename") or file.get("file_id") or file.get("file_url") or ""
            return f"<file>{name}</file>"
        case _:
            return ""
