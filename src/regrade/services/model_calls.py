"""What the gateway's services have in common: reading a request, and translating it where it must be."""

from collections.abc import Callable
from typing import Any

from regrade.core.endpoints import Endpoint
from regrade.core.errors import InvalidError, ModelError
from regrade.core.jsontext import JsonTextError, loads
from regrade.types.json import JsonObject, JsonValue


def model_of(body: JsonObject) -> str:
    """The model that a request names."""
    model = required(body, "model", str)
    if not model:
        raise InvalidError("'model' is empty. GET /models lists the models of this server.", param="model")
    return str(model)


def required(body: JsonObject, name: str, kind: type) -> Any:
    """A field that must be there."""
    if body.get(name) is None:
        raise InvalidError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    return optional(body, name, kind)


def optional(body: JsonObject, name: str, kind: type) -> Any:
    """A field that may be left out or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise InvalidError(f"Invalid type for '{name}': expected {_NAMES[kind]}.", param=name, code="invalid_type")
    return value


def objects(body: JsonObject, name: str) -> None:
    """Refuse a list that holds something else than objects."""
    for index, value in enumerate(optional(body, name, list) or ()):
        if not isinstance(value, dict):
            raise InvalidError(
                f"Invalid type for '{name}[{index}]': expected an object.",
                param=f"{name}[{index}]",
                code="invalid_type",
            )


def translated(endpoint: Endpoint, translate: Callable[[JsonObject], JsonObject], body: JsonObject) -> JsonObject:
    """The request in the words of the other API. Raises InvalidError that names the endpoint."""
    try:
        return translate(body)
    except InvalidError as error:
        raise InvalidError(
            f"The endpoint '{endpoint.name}' speaks {' and '.join(endpoint.api)} alone, and this request cannot be "
            f"translated: {error.message}",
            param=error.param,
        ) from error


def document_in(data: bytes) -> JsonObject:
    """The object in an event's data; {} where it holds none."""
    if not data:
        return {}
    try:
        value: JsonValue = loads(data)
    except JsonTextError:
        return {}
    return value if isinstance(value, dict) else {}


def refuse_error(chunk: JsonObject) -> None:
    """Raise ModelError, in the endpoint's own words, where it sent an error in the middle of its answer."""
    match chunk.get("error"):
        case None:
            return
        case {"message": str(message)} as error:
            code = error.get("code")
            raise ModelError(message, code=code if isinstance(code, str) else None)
        case error:
            raise ModelError(str(error))


def cut(endpoint: Endpoint) -> ModelError:
    """The error of a stream that ends before the answer does."""
    return ModelError(f"The endpoint '{endpoint.name}' ended its answer in the middle.")


_NAMES = {str: "a string", bool: "a boolean", list: "an array", dict: "an object"}
