"""JSON text in and out: orjson's speed, with integers of any size kept and NaN refused."""

import json
from typing import NoReturn

import orjson

from regrade.core.errors import InvalidError
from regrade.types.json import JsonValue

MAX_DEPTH = 128
"""Nesting deeper than this is refused: every walker after this point may recurse."""

MAX_CONTAINERS = 5_000_000
"""Arrays and objects of one text: empty ones take some twenty times their text in memory."""

_DIGITS_TO_ZERO = bytes(ord("0") if byte in b"123456789" else byte for byte in range(256))
_LONG_INTEGER = b"0" * 19  # 64-bit integers have up to 19 digits; orjson turns longer ones into floats


class JsonTextError(InvalidError):
    """The text is not JSON, or nested too deeply."""


def loads(text: bytes) -> JsonValue:
    """Parse strict JSON (no NaN, no Infinity); integers beyond 64 bits stay integers.

    Raises JsonTextError, whose message says where and why.
    """
    containers = text.count(b"{") + text.count(b"[")  # at most: those within strings count too
    if containers > MAX_CONTAINERS:
        raise JsonTextError(f"This JSON has more than {MAX_CONTAINERS:,} arrays and objects.")
    try:
        value = _loads_any_integer(text) if _LONG_INTEGER in text.translate(_DIGITS_TO_ZERO) else orjson.loads(text)
    except (ValueError, RecursionError) as error:
        raise JsonTextError(f"This is not valid JSON: {error}.") from error
    if containers > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise JsonTextError(f"This JSON is nested more than {MAX_DEPTH} levels deep.")
    return value


def dumps(value: JsonValue) -> bytes:
    """Compact UTF-8 JSON; integers of any size."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or a lone surrogate
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
            "utf-8", "replace"
        )


def _loads_any_integer(text: bytes) -> JsonValue:
    # The same strictness as orjson's: UTF-8 only, no NaN, no infinities by overflow, no half of a surrogate pair.
    value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    if b"\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _deeper_than(value: JsonValue, levels: int) -> bool:
    """Whether containers nest more than `levels` deep, without recursion."""
    layer = [value]
    for _ in range(levels + 1):
        layer = (
            [
                child
                for node in layer
                for child in (node.values() if isinstance(node, dict) else node)
                if isinstance(child, dict | list)
            ]
            if layer and isinstance(layer[0], dict | list)
            else []
        )
        if not layer:
            return False
    return True
