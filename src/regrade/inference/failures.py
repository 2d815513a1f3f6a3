"""What can go wrong with one attempt, and what that means for the next."""

import asyncio
import re
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

import aiohttp

from regrade.core.errors import InvalidError, ModelError
from regrade.core.jsontext import loads
from regrade.types.json import JsonObject

_WORDS = 1000
_DOWN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_OVERLOADED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, 529})
_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_SERVER_ERROR = 500


class Kind(Enum):
    """What a failure says."""

    FINAL = "the same request would fail again"
    LIMITED = "there were too many requests"
    FAULT = "this attempt went wrong"
    DOWN = "the endpoint does not work at all"
    STALE = "a connection that was kept had ended meanwhile; the request was perhaps never read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt brought no answer."""

    kind: Kind
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    pause_s: float | None = None
    """How long the upstream asks to wait."""

    def error(self) -> ModelError:
        """As callers get it."""
        return ModelError(self.message, status=self.status, code=self.code, param=self.param, pause_s=self.pause_s)


def of_status(endpoint: str, status: int, body: bytes, secret: str | None, pause_s: float | None) -> Failure:
    """What an answer other than 200 means. The key is kept out of the words, should the upstream repeat it."""
    error = error_object(body)
    words = _words(error, body)
    if secret:
        words = words.replace(secret, "***")
    code = error.get("code") or error.get("type")
    return Failure(
        kind=_kind(status, code, pause_s),
        message=f"The endpoint '{endpoint}' answered {status}: {words}",
        status=status,
        code=str(code) if code is not None else None,
        param=error["param"] if isinstance(error.get("param"), str) else None,
        pause_s=pause_s,
    )


def of_exception(endpoint: str, error: Exception, timeout_s: float) -> Failure:
    """What an attempt that ended without an answer means."""
    match error:
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError(errno=32 | 104):
            return Failure(
                kind=Kind.STALE, message=f"The endpoint '{endpoint}' closed the connection without an answer."
            )
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Failure(kind=Kind.DOWN, message=f"The endpoint '{endpoint}' cannot be reached: {error}.")
        case asyncio.TimeoutError():
            return Failure(
                kind=Kind.FAULT,
                message=f"The endpoint '{endpoint}' gave no answer within {timeout_s:g} seconds.",
            )
        case aiohttp.ClientPayloadError():
            return Failure(
                kind=Kind.FAULT, message=f"The endpoint '{endpoint}' ended its answer in the middle: {error}."
            )
        case _:
            return Failure(
                kind=Kind.FAULT,
                message=f"The endpoint '{endpoint}' could not be asked: {str(error) or type(error).__name__}.",
            )


def of_content(endpoint: str, content_type: str, body: bytes) -> Failure:
    """A 200 whose body is not what was asked for."""
    words = " ".join(body[:_WORDS].decode("utf-8", "replace").split())[:200]
    return Failure(
        kind=Kind.FAULT,
        message=f"The endpoint '{endpoint}' answered with what is no answer of this API ({content_type}): {words}",
        status=int(HTTPStatus.OK),
    )


def error_object(body: bytes) -> JsonObject:
    """The error of an answer, in whichever of its usual places; {} where there is none."""
    try:
        document = loads(body)
    except InvalidError:
        return {}
    if isinstance(document, list) and document:  # Gemini wraps it
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)
    return error if isinstance(error, dict) else {"message": error}


def _words(error: JsonObject, body: bytes) -> str:
    for key in ("message", "detail", "error_description"):
        if error.get(key):
            return _short(error[key])
    text = re.sub(r"<[^>]*>", " ", body[: 16 * _WORDS].decode("utf-8", "replace"))
    return " ".join(text.split())[:_WORDS] or "(nothing)"


def _short(value: Any) -> str:
    return (value if isinstance(value, str) else str(value))[:_WORDS]


def _kind(status: int, code: Any, pause_s: float | None) -> Kind:
    if status in _OVERLOADED:
        return Kind.FINAL if code in _NO_MONEY else Kind.LIMITED
    if status in _DOWN:
        return Kind.LIMITED if status == HTTPStatus.SERVICE_UNAVAILABLE and pause_s is not None else Kind.DOWN
    if status >= _SERVER_ERROR or status in _AGAIN:
        return Kind.FAULT
    return Kind.FINAL
