"""What checking an item by a JSON Schema may cost: a few references that meet again and again make it immense.

Validation cannot be stopped once it has begun, and it holds the interpreter. So its work is bounded before: by the
schema alone where that is enough, else by the schema and the size and depth of the item.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple
from urllib.parse import unquote

from regrade.core.jsontext import MAX_DEPTH
from regrade.types.json import JsonObject, JsonValue

MAX_NODES = 100_000
"""Subschemas that a schema can have."""

_MOST = 10**12  # costs stop growing here: nothing as large is ever affordable
_MAX_STEPS = 3_000_000  # of working the costs out

# Keywords by where their subschemas look: at the value itself, at what an object holds, at what an array holds.
_HERE = ("not", "if", "then", "else")
_HERE_LISTS = ("allOf", "anyOf", "oneOf")
_REFERENCES = ("$ref", "$dynamicRef")
_MEMBERS = ("unevaluatedProperties", "propertyNames")
_ELEMENTS = ("contains", "unevaluatedItems")

_COUNTED = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")


class SchemaRefusedError(Exception):
    """The schema is refused whatever the items are; the message is a sentence that begins with its name."""


class Measure(NamedTuple):
    """How large an item is."""

    values: int
    characters: int
    depth: int


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """The work for one value, and for one character, of an item, and its alternatives; each by the item's depth."""

    visits: list[int]
    reading: list[int]
    branches: list[int]

    def of(self, item: Measure) -> int:
        """Steps, some ten nanoseconds each, that finding out whether such an item fits takes at most."""
        return item.values * _at(self.visits, item.depth) + item.characters * _at(self.reading, item.depth)

    def of_reasons(self, item: Measure) -> int:
        """How many reasons may have to be put together to say why such an item does not fit."""
        return item.values * _at(self.branches, item.depth)


def measured(item: JsonValue) -> Measure:
    """Count an item's values and the characters of its texts."""
    values = characters = depth = 0
    layer: list[JsonValue] = [item]
    while layer:
        depth += 1
        values += len(layer)
        below: list[JsonValue] = []
        for value in layer:
            if isinstance(value, dict):
                characters += sum(map(len, value))
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str):
                characters += len(value)
        layer = below
    return Measure(values, characters, depth)


def cost_of(schema: JsonObject) -> SchemaCost:
    """The costs of a schema. Raises SchemaRefusedError."""
    shapes = _Reader(schema).shapes
    try:
        order = list(TopologicalSorter({at: shape.here for at, shape in enumerate(shapes)}).static_order())
    except CycleError:
        raise SchemaRefusedError("refers to itself without going into the item") from None
    return SchemaCost(
        visits=_levels(shapes, order, lambda shape: shape.visits),
        reading=_levels(shapes, order, lambda shape: shape.reading),
        branches=_levels(shapes, order, lambda shape: shape.branches),
    )


@dataclass(slots=True)
class _Shape:
    """One subschema: its own work, and the numbers of those that look at the same value and at what that holds.

    Of each group at most one looks at any one member or element.
    """

    visits: int = 1
    reading: int = 0
    branches: int = 0
    here: list[int] = field(default_factory=list)
    members: list[list[int]] = field(default_factory=list)
    elements: list[list[int]] = field(default_factory=list)


class _Reader:
    """Reads a schema and all that it refers to within itself; number 0 is the schema."""

    def __init__(self, schema: JsonObject) -> None:
        self._schema = schema
        self._address = str(schema.get("$id", "")).partition("#")[0]
        self._anchors = _anchors(schema)
        self._numbers: dict[int, int] = {}
        self._waiting: list[JsonObject] = []
        self.shapes: list[_Shape] = []
        self._number(schema)
        for node in self._waiting:  # grows while it is read
            self._read(node, self.shapes[self._numbers[id(node)]])

    def _number(self, node: JsonValue) -> int | None:
        """The number of a subschema; None for what is none, and for true and false, which cost nothing."""
        if not isinstance(node, dict):
            return None
        if id(node) not in self._numbers:
            if len(self.shapes) == MAX_NODES:
                raise SchemaRefusedError(f"has more than {MAX_NODES} subschemas")
            self._numbers[id(node)] = len(self.shapes)
            self.shapes.append(_Shape())
            self._waiting.append(node)
        return self._numbers[id(node)]

    def _group(self, nodes: Iterator[JsonValue]) -> list[int]:
        return [number for number in map(self._number, nodes) if number is not None]

    def _read(self, node: JsonObject, shape: _Shape) -> None:
        shape.visits += sum(_size(key, value) for key, value in node.items() if key not in ("$defs", "definitions"))
        shape.reading = sum(map(_weight, _patterns(node)))
        shape.branches = len(_values(node, "anyOf")) + len(_values(node, "oneOf"))
        shape.here = self._group(self._here(node))
        shape.members = [self._group(iter([value])) for value in _values(node, "patternProperties")]
        shape.members += [self._group(iter([node.get(key)])) for key in _MEMBERS]
        shape.members.append(self._group(iter([*_values(node, "properties"), node.get("additionalProperties")])))
        shape.elements = [self._group(iter([node.get(key)])) for key in _ELEMENTS]
        shape.elements.append(self._group(iter([*_values(node, "prefixItems"), node.get("items")])))

    def _here(self, node: JsonObject) -> Iterator[JsonValue]:
        for key in _HERE:
            yield node.get(key)
        for key in (*_HERE_LISTS, "dependentSchemas"):
            yield from _values(node, key)
        for key in _REFERENCES:
            if isinstance(node.get(key), str):
                yield from self._targets(node[key])

    def _targets(self, reference: str) -> list[JsonValue]:
        address, _, fragment = reference.partition("#")
        if address not in ("", self._address):
            raise SchemaRefusedError(
                f"refers to something that is not part of it: '{reference[:200]}'. Schemas are never fetched: move "
                "what they refer to into '$defs', and refer to it by '#/$defs/...'"
            )
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return [*self._anchors.get(fragment, ())]
        node: JsonValue = self._schema
        for step in fragment.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(key)
            elif isinstance(node, list) and re.fullmatch(r"[0-9]{1,9}", key) and int(key) < len(node):
                node = node[int(key)]
            else:
                return []
        return [node]


def _levels(shapes: list[_Shape], order: list[int], own: Callable[[_Shape], int]) -> list[int]:
    """The cost of the whole schema on the worst path into an item, for items of depth 1, 2, ...

    Each level needs only the one below; it ends where more depth changes nothing, or nothing is affordable.
    """
    if not any(map(own, shapes)):
        return [0]
    below = [0] * len(shapes)
    levels: list[int] = []
    for depth in range(1, MAX_DEPTH + 2):
        if depth * len(shapes) > _MAX_STEPS:
            raise SchemaRefusedError("is too large for one that refers to itself")
        itself, members, elements = below.copy(), below.copy(), below.copy()
        for at in order:  # what looks at the same value comes first
            shape = shapes[at]
            itself[at] = own(shape) + sum(itself[each] for each in shape.here)
            members[at] = _sum(shape.members, below) + sum(members[each] for each in shape.here)
            elements[at] = _sum(shape.elements, below) + sum(elements[each] for each in shape.here)
            itself[at], members[at], elements[at] = (
                min(cost, _MOST) for cost in (itself[at], members[at], elements[at])
            )
        costs = [min(a + max(b, c), _MOST) for a, b, c in zip(itself, members, elements, strict=True)]
        levels.append(costs[0])
        if costs == below or costs[0] == _MOST:
            break
        below = costs
    return levels


def _sum(groups: list[list[int]], costs: list[int]) -> int:
    return sum(max((costs[each] for each in group), default=0) for group in groups)


def _at(levels: list[int], depth: int) -> int:
    return levels[min(depth, len(levels)) - 1]


def _size(key: str, value: JsonValue) -> int:
    """How much a keyword adds to the work of one visit."""
    if key in ("enum", "const"):
        return 3 * measured(value).values  # whole documents are compared
    return 1 + len(value) if isinstance(value, dict | list) else 1


def _values(node: JsonObject, key: str) -> list[JsonValue]:
    value = node.get(key)
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _patterns(node: JsonObject) -> Iterator[str]:
    if isinstance(node.get("pattern"), str):
        yield node["pattern"]
    if isinstance(node.get("patternProperties"), dict):
        yield from node["patternProperties"]


def _weight(pattern: str) -> int:
    """About how many states of a regular expression may be alive at once: repetitions in repetitions multiply."""
    states = 1 + len(pattern) // 10
    for least, most in _COUNTED.findall(pattern):
        states = min(states * max(int(most or least), 1), _MOST)
    return states


def _anchors(schema: JsonObject) -> dict[str, list[JsonObject]]:
    """Named subschemas. Raises SchemaRefusedError for one that is a document of its own.

    References by such a document's address would lead past what is counted here.
    """
    found: dict[str, list[JsonObject]] = {}
    stack: list[JsonValue] = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node is not schema and isinstance(node.get("$id"), str):
                raise SchemaRefusedError("holds a schema with an '$id' of its own: refer to it by '#/$defs/...'")
            for key in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(key), str):
                    found.setdefault(node[key], []).append(node)
        children = node.values() if isinstance(node, dict) else node
        stack += [child for child in children if isinstance(child, dict | list)]
    return found
