"""Secrets inside tools: kept apart from the documents that are stored, answered and shown."""

from collections.abc import Iterator
from typing import Any

from regrade.types.json import JsonObject, JsonValue

REDACTED = "<redacted>"

_STRANGERS = frozenset({"source", "parameters", "schema", "input_schema", "output_schema"})
"""Rows and JSON Schemas: their keys are the client's own words, and no tools."""


def split_secrets(document: JsonObject) -> tuple[JsonObject, dict[str, str]]:
    """A data source, or a request, with REDACTED for each secret in its tools; and the secrets by their paths.

    The document given is left as it was.
    """
    secrets = {"/".join(map(str, path)): secret for path, secret in _found(document, (), in_tool=False)}
    return with_secrets(document, dict.fromkeys(secrets, REDACTED)), secrets


def with_secrets(redacted: JsonObject, secrets: dict[str, str]) -> JsonObject:
    """The document as it was before `split_secrets`; the one given is left as it was."""
    whole = redacted
    for path, secret in secrets.items():
        whole = _replaced(whole, path.split("/"), secret)
    return whole


def _replaced(node: Any, path: list[str], value: str) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(node, list):
        index = int(step)
        return [_replaced(child, rest, value) if at == index else child for at, child in enumerate(node)]
    return {key: _replaced(child, rest, value) if _escaped(key) == step else child for key, child in node.items()}


def _escaped(key: str) -> str:
    """A key without the sign that joins paths."""
    return key.replace("~", "~0").replace("/", "~1")


_Found = Iterator[tuple[tuple[str | int, ...], str]]


def _found(node: JsonValue, path: tuple[str | int, ...], *, in_tool: bool) -> _Found:
    """(path, secret) of everything below; `in_tool` says whether this is, or is part of, a tool."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from _found(child, (*path, index), in_tool=in_tool)
    if not isinstance(node, dict):
        return
    for key, child in node.items():
        at = (*path, _escaped(key))
        if in_tool:
            yield from _secrets(key, child, at)
        if key not in _STRANGERS:
            yield from _found(child, at, in_tool=in_tool or key == "tools")


def _secrets(key: str, value: JsonValue, at: tuple[str | int, ...]) -> _Found:
    match key, value:
        case "authorization", str():
            yield at, value
        case "headers", dict():
            for name, header in value.items():
                if isinstance(header, str):
                    yield (*at, _escaped(name)), header
        case "domain_secrets", list():
            for index, secret in enumerate(value):
                if isinstance(secret, dict) and isinstance(secret.get("value"), str):
                    yield (*at, index, "value"), secret["value"]
