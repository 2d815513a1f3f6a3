"""Files of this server in messages: which ones a document names, and their bytes in place of their names."""

import base64
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regrade.types.json import JsonObject, JsonValue

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
}
_ANY = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file as it stands in a message: read and encoded once, put into as many requests as name it."""

    filename: str
    url: str


def inline_file(filename: str, content: bytes) -> InlineFile:
    """A file as a data URL; its type is told by its first bytes, or else by its name."""
    kind = next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    kind = kind or mimetypes.guess_type(filename)[0] or _ANY
    return InlineFile(filename, f"data:{kind};base64,{base64.b64encode(content).decode()}")


def file_ids(document: JsonValue, *, at: str = "") -> Iterator[tuple[str, str]]:
    """(path, file id) of every file that a request or a template of messages names; ids may be templates still."""
    match document:
        case {"type": "input_image" | "input_file", "file_id": str(file_id)}:
            yield f"{at}.file_id", file_id
        case {"type": "image_url", "image_url": {"file_id": str(file_id)}}:
            yield f"{at}.image_url.file_id", file_id
        case {"type": "file", "file": {"file_id": str(file_id)}}:
            yield f"{at}.file.file_id", file_id
        case dict():
            for key, value in document.items():
                if isinstance(value, dict | list):
                    yield from file_ids(value, at=f"{at}.{key}" if at else key)
        case list():
            for index, value in enumerate(document):
                yield from file_ids(value, at=f"{at}[{index}]")


def inline_files(body: JsonObject, files: Mapping[str, InlineFile]) -> JsonObject:
    """The request with these files in it by their content; files that are not among them stay named."""
    inlined = {key: _inlined(body[key], files) for key in ("messages", "input") if isinstance(body.get(key), list)}
    return {**body, **inlined}


def _inlined(value: JsonValue, files: Mapping[str, InlineFile]) -> JsonValue:
    match value:
        case list():
            return [_inlined(element, files) for element in value]
        case {"type": "input_image", "file_id": str(file_id)} if file_id in files:
            return {**_without_id(value), "image_url": files[file_id].url}
        case {"type": "input_file", "file_id": str(file_id)} if file_id in files:
            return {**_without_id(value), **_file_data(value, files[file_id])}
        case {"type": "image_url", "image_url": {"file_id": str(file_id)} as image} if file_id in files:
            return {**value, "image_url": {**_without_id(image), "url": files[file_id].url}}
        case {"type": "file", "file": {"file_id": str(file_id)} as file} if file_id in files:
            return {**value, "file": {**_without_id(file), **_file_data(file, files[file_id])}}
        case dict():
            return {
                key: _inlined(child, files) if isinstance(child, dict | list) else child
                for key, child in value.items()
            }
        case _:
            return value


def _without_id(part: JsonObject) -> JsonObject:
    return {key: value for key, value in part.items() if key != "file_id"}


def _file_data(part: JsonObject, file: InlineFile) -> JsonObject:
    return {"file_data": file.url, "filename": part.get("filename") or file.filename}
