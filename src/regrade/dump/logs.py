"""Stored chat completions out of a dump, each with its messages."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from regrade.core.jsontext import dumps
from regrade.dump.layout import data_file, lines, read_cursor, read_manifest
from regrade.types.json import JsonObject

_COMPLETIONS, _MESSAGES = "chat_completions", "chat_completion_messages"


def stored_completions(root: Path) -> Iterator[tuple[str, bytes]]:
    """(a name for it, a completion with its `messages`) of each. Raises ConfigurationError, DamagedDumpError."""
    read_manifest(root)
    lengths = read_cursor(root)
    messages = _messages(root, lengths)
    seen: set[str] = set()
    for answer in lines(root, _only(lengths, _COMPLETIONS)):
        for completion in answer.objects:
            name = str(completion.get("id"))
            if name not in seen:
                seen.add(name)
                yield name, dumps({**completion, "messages": messages.get(name)})


def _messages(root: Path, lengths: dict[str, int]) -> dict[str, list[JsonObject]]:
    found: dict[str, list[JsonObject]] = {}
    for answer in lines(root, _only(lengths, _MESSAGES)):
        completion = unquote(answer.request.path.split("/")[-2])
        found.setdefault(completion, []).extend(map(_message, answer.objects))
    return found


def _only(lengths: dict[str, int], resource: str) -> dict[str, int]:
    name = data_file(resource)
    return {name: lengths[name]} if name in lengths else {}


def _message(listed: JsonObject) -> JsonObject:
    """A message as it was asked, without what its list has added."""
    message = {
        key: value for key, value in listed.items() if key not in ("id", "content_parts") and value is not None
    }
    return {**message, "content": listed.get("content_parts") or listed.get("content")}
