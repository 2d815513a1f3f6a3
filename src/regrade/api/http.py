"""Requests into documents, documents into responses, errors into statuses: the one place that knows all three."""

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from regrade.core import errors
from regrade.core.jsontext import JsonTextError, dumps, loads
from regrade.types.json import JsonObject, JsonValue

STATUS_OF: Mapping[type[errors.RegradeError], int] = MappingProxyType(
    {
        errors.InvalidError: 400,
        errors.StateError: 400,  # never 409, which the SDK repeats
        errors.RowError: 400,
        errors.AuthenticationError: 401,
        errors.ForbiddenError: 403,
        errors.NotFoundError: 404,
        errors.TooLargeError: 413,
        errors.MediaTypeError: 415,
        errors.ConfigurationError: 500,
        errors.UnavailableError: 503,
    }
)

_OF_UPSTREAMS = frozenset({400, 404, 408, 413, 415, 422, 429, 500, 503, 504, 529})
"""Statuses of model endpoints that mean the same to our client; others, as of a refused key, are not its doing."""

AZURE_PREFIX = "/openai/"
REQUEST_ID = "regrade.request_id"
"""Where in the scope the edge leaves the id of the request."""

_JSON = "application/json"
_KINDS = {429: "requests"}
_PARSED_ON_THE_LOOP = 64 * 1024  # larger bodies are parsed in a thread, so that nobody waits for them


class BodyError(errors.InvalidError):
    """The body as a whole cannot be read."""

    code = None


def is_azure(scope: Scope) -> bool:
    """Whether the request came under one of the prefixes that Azure clients use."""
    path: str = scope["path"]
    return path.startswith(AZURE_PREFIX)


def json_response(content: JsonValue | bytes, status: int = 200) -> Response:
    """A response from a document, or from bytes that are JSON already."""
    return Response(content if isinstance(content, bytes) else dumps(content), status, media_type=_JSON)


def error_response(scope: Scope, error: errors.RegradeError) -> Response:
    """The error in the form that clients of this prefix read."""
    return _error(scope, _status(error), error.message, error.param, error.code, _headers(error))


def _headers(error: errors.RegradeError) -> Mapping[str, str] | None:
    """What a client is to do next, as far as a header can say it."""
    match error:
        case errors.AuthenticationError():
            return {"www-authenticate": "Bearer"}
        case errors.ModelError(pause_s=float(pause)):
            return {"retry-after": str(ceil(pause))}
        case errors.ModelError(status=int(status)) if status not in _OF_UPSTREAMS and status < 500:  # noqa: PLR2004
            return {"x-should-retry": "false"}  # our 502 looks like a passing trouble, and this is none
        case _:
            return None


def _status(error: errors.RegradeError) -> int:
    if isinstance(error, errors.ModelError):
        if error.status is None and error.code == "timeout":
            return 504
        return error.status if error.status in _OF_UPSTREAMS else 502
    kind = next((kind for kind in type(error).__mro__ if kind in STATUS_OF), None)
    return STATUS_OF[kind] if kind else 500


def internal_error(scope: Scope) -> Response:
    """What a client learns of a fault of ours: only how to report it."""
    where = f" under {scope[REQUEST_ID]}" if REQUEST_ID in scope else ""
    message = f"The server had an error while processing your request. Its log has the details{where}."
    return _error(scope, 500, message, None, None)


async def answer_internal_error(request: Request, _fault: Exception) -> Response:
    """Exception handler for faults of ours; the edge logs them."""
    return internal_error(request.scope)


async def answer_error(request: Request, error: errors.RegradeError) -> Response:
    """Exception handler for errors of the tree."""
    return error_response(request.scope, error)


async def answer_routing_error(request: Request, error: HTTPException) -> Response:
    """Exception handler for URLs and methods that do not exist."""
    where = f"{request.method} {request.url.path}"
    headers = error.headers
    match error.status_code:
        case 404:
            message = f"Invalid URL ({where})."
        case 405:
            message = f"Invalid method for URL ({where})."
            headers = {"allow": ", ".join(_methods(request.scope))}
        case _:
            message = str(error.detail)
    return _error(request.scope, error.status_code, message, None, None, headers)


async def answer_query_error(request: Request, error: RequestValidationError) -> Response:
    """Exception handler for query parameters that are not what the route reads."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    code = "invalid_type" if first["type"].endswith(("_parsing", "_type")) else "invalid_value"
    reason = first["msg"].replace("Input should be", "it must be")
    return _error(request.scope, 400, f"The query parameter '{name}' is not valid: {reason}.", name, code)


async def body_of(request: Request) -> bytes:
    """The whole body, within the edge's limit."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise BodyError("The connection ended before the body did.") from None


async def document(request: Request) -> JsonObject:
    """The body as a JSON object. Raises BodyError, MediaTypeError, TooLargeError."""
    body = await body_of(request)
    if not body:
        raise BodyError("The request has no body. Send a JSON object.")
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != _JSON:
        raise errors.MediaTypeError(
            f"The content type of the body is '{content_type}'. Send JSON with 'Content-Type: {_JSON}'."
        )
    try:
        parsed = loads(body) if len(body) <= _PARSED_ON_THE_LOOP else await run_in_threadpool(loads, body)
    except JsonTextError as error:
        raise BodyError(f"We could not parse the JSON body of your request. {error.message}") from error
    if not isinstance(parsed, dict):
        raise BodyError("The body is JSON, but not an object. Send a JSON object.")
    return parsed


Document = Annotated[JsonObject, Depends(document)]


async def optional_document(request: Request) -> JsonObject:
    """The same, where no body is as good as an empty object."""
    return await document(request) if await body_of(request) else {}


OptionalDocument = Annotated[JsonObject, Depends(optional_document)]


def _methods(scope: Scope) -> list[str]:
    """What can be done with the URL; the error itself knows only the first of its routes."""
    routes: list[BaseRoute] = scope["app"].routes
    return [
        method
        for method in ("DELETE", "GET", "POST")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def _error(
    scope: Scope,
    status: int,
    message: str,
    param: str | None,
    code: str | None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    detail: dict[str, Any]
    if is_azure(scope):
        detail = {
            "code": code or str(status),
            "message": message,
            "param": param,
            "type": "error",
            "inner_error": {},
        }
    else:
        kind = _KINDS.get(status) or ("server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
        detail = {"message": message, "type": kind, "param": param, "code": code}
    return Response(dumps({"error": detail}), status, headers, _JSON)
