"""What holds for every request before any route sees it: an id, a size limit, and who may speak to this server."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regrade.api.http import REQUEST_ID, error_response, internal_error, is_azure
from regrade.core.errors import ForbiddenError, RegradeError, TooLargeError
from regrade.core.log_context import REQUEST
from regrade.core.metrics import HTTP, Metrics, Series
from regrade.ports.system import Clock, Ids

OPENAI_VERSION = "2020-10-01"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

logger = logging.getLogger(__name__)

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@\[\]]+)(?::[0-9]{1,5})?")
_API = re.compile(r"/(?:v1|openai)/")
# These routes read their bodies in pieces and have limits of their own.
_STREAMED = re.compile(r"/(?:v1|openai|openai/v1)/(?:files|uploads/[^/]+/parts)")
_NANOSECONDS_A_MILLISECOND = 1_000_000
_NANOSECONDS_A_SECOND = 1_000_000_000
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """What the operator decides about the edge."""

    max_body_bytes: int = 64 << 20
    public_url: str | None = None


class Edge:
    """Pure ASGI around the whole application, so that pages, errors and streams are all treated alike."""

    def __init__(
        self,
        app: ASGIApp,
        options: EdgeOptions,
        *,
        ids: Ids,
        clock: Clock,
        without_keys: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._max_body_bytes = options.max_body_bytes
        self._public = urlsplit(options.public_url or "").netloc.lower()
        self._hosts = LOOPBACK_HOSTS | ({_host(self._public)} if self._public else set())
        self._ids = ids
        self._clock = clock
        self._without_keys = without_keys
        self._metrics = metrics
        self._counted: dict[tuple[str, str, int], Series] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and answer it whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = self._ids.new("request")
        REQUEST.set(request_id)
        started = self._clock.nanoseconds()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if is_azure(scope):
                    headers["apim-request-id"] = request_id
                headers["openai-version"] = OPENAI_VERSION
                elapsed = (self._clock.nanoseconds() - started) // _NANOSECONDS_A_MILLISECOND
                headers["openai-processing-ms"] = str(elapsed)
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            refused = self._refusal(scope, Headers(scope=scope))
            if refused is not None:
                await error_response(scope, refused)(scope, receive, send_with_headers)
            else:
                await self._app(scope, self._limited(scope, receive), send_with_headers)
        except Exception:
            logger.exception("%s %s failed (%s)", scope["method"], scope["path"], request_id)
            if not status:
                await internal_error(scope)(scope, receive, send_with_headers)
        finally:
            self._count(scope, status, self._clock.nanoseconds() - started)

    def _count(self, scope: Scope, status: int, nanoseconds: int) -> None:
        """Note a request; one that ended before its answer began has the status 0."""
        key = (scope["method"], route_of(scope), status)
        series = self._counted.get(key)
        if series is None:
            method = key[0] if key[0] in _METHODS else "other"
            series = self._metrics.of(HTTP, method, key[1], str(status))
            if method != "other":
                self._counted[key] = series
        series.observe(nanoseconds / _NANOSECONDS_A_SECOND)

    def _refusal(self, scope: Scope, headers: Headers) -> RegradeError | None:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if _host(host) not in self._hosts and self._without_keys():
            # A page that resolves its own name to 127.0.0.1 would otherwise speak to this server as its owner.
            return ForbiddenError(
                f"Without keys this server answers as localhost only, not as '{host}'."
                " Make a key with 'regrade keys create', or set 'public_url'."
            )
        if self._crosses_origins(scope, headers, host):
            return ForbiddenError("This server answers no requests that a browser sends for another site.")
        announced = headers.get("content-length", "")
        if (
            announced.isdecimal()
            and int(announced) > self._max_body_bytes
            and not _STREAMED.fullmatch(scope["path"])
        ):
            return self._too_large()
        return None

    def _crosses_origins(self, scope: Scope, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] not in {host, self._public} - {""}:
            return True
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return False
        is_link = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        return not is_link or _API.match(scope["path"]) is not None

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        if _STREAMED.fullmatch(scope["path"]):
            return receive
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        return receive_limited

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than {self._max_body_bytes} bytes. Upload large data as a file instead."
        )


def _host(authority: str) -> str:
    """The host of `host:port`, where the host may be an IPv6 address in brackets; empty where it is none."""
    match = _AUTHORITY.fullmatch(authority)
    return match[1] if match else ""


def route_of(scope: Scope) -> str:
    """The route's pattern, for all prefixes of the API the same; `none`, so that clients cannot make up names."""
    route = scope.get("route")
    if route is None or isinstance(route, Mount):
        return "none"
    return f"/v1{route.path}" if scope.get("root_path") else str(route.path)
