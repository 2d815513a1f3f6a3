"""The rules of an object's metadata."""

from typing import Any

from regrade.core.errors import InvalidError
from regrade.types.json import JsonObject

MAX_PAIRS = 16
MAX_KEY = 64
MAX_VALUE = 512


def checked(metadata: dict[str, Any] | None, *, param: str = "metadata") -> JsonObject:
    """The metadata to store: `{}` for none. Raises InvalidError where it breaks a limit."""
    if not metadata:
        return {}
    if len(metadata) > MAX_PAIRS:
        raise InvalidError(
            f"Metadata can have at most {MAX_PAIRS} pairs; this one has {len(metadata)}.", param=param
        )
    for key, value in metadata.items():
        if len(key) > MAX_KEY:
            raise InvalidError(
                f"A metadata key can have at most {MAX_KEY} characters; '{key[:MAX_KEY]}...' has {len(key)}.",
                param=param,
            )
        if not isinstance(value, str):
            raise InvalidError(
                f"Metadata values must be strings; that of '{key}' is not.", param=param, code="invalid_type"
            )
        if len(value) > MAX_VALUE:
            raise InvalidError(
                f"A metadata value can have at most {MAX_VALUE} characters; that of '{key}' has {len(value)}.",
                param=param,
            )
    return metadata
