"""From a request's JSON to its type, with the path of the first field at fault where it does not fit."""

from functools import lru_cache
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from regrade.core.errors import InvalidError
from regrade.types.json import JsonObject, JsonValue
from regrade.types.wire import Answered, Received

T = TypeVar("T")

_JSON_NAMES = {
    "NoneType": "null",
    "bool": "a boolean",
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "list": "an array",
    "dict": "an object",
}
_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


@overload
def parse(shape: type[T], document: JsonValue, *, at: str = "") -> T: ...
@overload
def parse(shape: Any, document: JsonValue, *, at: str = "") -> Any: ...
def parse(shape: Any, document: JsonValue, *, at: str = "") -> Any:
    """`document` as the model or union `shape`; `at` is the path of the document in the whole request.

    Raises InvalidError that names the first field at fault.
    """
    try:
        return _adapter(shape).validate_python(document)
    except ValidationError as error:
        raise _invalid(error, document, at) from error


def unknown_fields(request: Received, answer: type[Answered]) -> JsonObject:
    """What a client sent that neither the request nor the answer has a meaning for: it is answered as it came."""
    return {key: value for key, value in (request.model_extra or {}).items() if key not in answer.model_fields}


@lru_cache(maxsize=256)
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _invalid(error: ValidationError, document: JsonValue, at: str) -> InvalidError:
    first = error.errors(include_url=False, include_input=False)[0]
    kind, context = first["type"], first.get("ctx", {})
    path, found = _walk(document, first["loc"], at)
    if kind == "missing":
        return _missing(_joined(path, first["loc"][-1]))
    if kind.startswith("union_tag"):
        return _wrong_tag(path, kind, context)
    if kind in _EXPECTED:
        given = _JSON_NAMES.get(type(found).__name__, type(found).__name__)
        message = f"Invalid type for '{path or 'the body'}': expected {_EXPECTED[kind]}, but got {given} instead."
        return InvalidError(message, param=path or None, code="invalid_type")
    if kind == "literal_error":
        return _unsupported(path, found, context["expected"])
    return InvalidError(f"Invalid value for '{path}': {_sentence(first['msg'])}", param=path or None)


def _missing(path: str) -> InvalidError:
    return InvalidError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def _wrong_tag(path: str, kind: str, context: dict[str, Any]) -> InvalidError:
    """The tag that says which member of a union is meant is absent or unknown."""
    field = str(context["discriminator"]).strip("'")
    path = f"{path}.{field}" if path else field
    if kind == "union_tag_not_found":
        return _missing(path)
    return _unsupported(path, context["tag"], context["expected_tags"])


def _unsupported(path: str, found: JsonValue, supported: str) -> InvalidError:
    given = repr(found)
    given = given if len(given) <= 200 else f"{given[:200]}…"  # noqa: PLR2004
    return InvalidError(
        f"Invalid value for '{path}': {given}. Supported values are: {supported}.", param=path or None
    )


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."


def _walk(document: JsonValue, location: tuple[int | str, ...], at: str) -> tuple[str, JsonValue]:
    """The path that a client would write for pydantic's `location`, and what stands there.

    Pydantic mixes the tags of unions in among keys and indexes; only what the document holds is kept.
    """
    path, node = at, document
    for step in location:
        if isinstance(node, list) and isinstance(step, int) and step < len(node):
            path, node = f"{path}[{step}]", node[step]
        elif isinstance(node, dict) and step in node:
            path, node = _joined(path, step), node[step]
    return path, node


def _joined(path: str, key: int | str) -> str:
    return f"{path}.{key}" if path else str(key)
