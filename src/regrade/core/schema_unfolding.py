"""How large a JSON Schema becomes once its references are followed: a few that double make it immense."""

from collections.abc import Iterator
from urllib.parse import unquote

from regrade.types.json import JsonObject, JsonValue

MAX_UNFOLDED = 100_000


def unfolds_beyond_limit(schema: JsonObject) -> bool:
    """Whether checking one item by this schema could take more than MAX_UNFOLDED steps.

    References that come back to where they are used count once: they go only as deep as the item.
    """
    anchors = dict(_anchors(schema))
    sizes: dict[int, int] = {}
    stack: list[tuple[JsonValue, list[JsonValue] | None]] = [(schema, None)]
    while stack:
        node, children = stack.pop()
        if children is not None:
            # Bounded here, or the numbers themselves would grow without bound.
            sizes[id(node)] = min(1 + sum(sizes[id(child)] for child in children), MAX_UNFOLDED + 1)
        elif id(node) not in sizes:
            sizes[id(node)] = 0
            children = list(_children(node, schema, anchors))
            stack.append((node, children))
            stack += [(child, None) for child in children]
    return sizes[id(schema)] > MAX_UNFOLDED


def _children(node: JsonValue, schema: JsonObject, anchors: JsonObject) -> Iterator[JsonValue]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield value
        elif key in ("$ref", "$dynamicRef") and isinstance(value, str):
            target = _target(value, schema, anchors)
            if isinstance(target, dict | list):
                yield target


def _target(reference: str, schema: JsonObject, anchors: JsonObject) -> JsonValue:
    fragment = unquote(reference.partition("#")[2])
    if fragment and not fragment.startswith("/"):
        return anchors.get(fragment)
    node: JsonValue = schema
    for step in fragment.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node


def _anchors(schema: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    stack: list[JsonValue] = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for key in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(key), str):
                    yield node[key], node
        children = node.values() if isinstance(node, dict) else node
        stack += [child for child in children if isinstance(child, dict | list)]
