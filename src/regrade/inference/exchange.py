"""The sessions of an event loop, and single requests over them."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from regrade import __version__
from regrade.core.endpoints import Api, Endpoint
from regrade.core.errors import InvalidError
from regrade.core.jsontext import loads
from regrade.inference import failures
from regrade.inference.adapters import Adapters
from regrade.inference.effort import Effort, Once
from regrade.inference.failures import Failure
from regrade.inference.retry import exhausted_for, retry_after
from regrade.ports.models import ResponseAction
from regrade.ports.system import Clock
from regrade.types.json import JsonObject

_KEEP_ALIVE_S = 4.0  # below the five seconds after which uvicorn's servers close idle connections
_RESOLVED_S = 30
_SERVER_ERROR = 500
_EVENT_STREAM = "text/event-stream"
_METHODS: dict[ResponseAction, str] = {"retrieve": "GET", "cancel": "POST", "delete": "DELETE"}
_MUST_HOLD: dict[Api, str] = {"chat": "choices", "responses": "output", "embeddings": "data"}

T = TypeVar("T")

# A connection whose other end has vanished without a word is noticed within half a minute.
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


class Exchange:
    """Sends what an effort has written, once. Cancelling an exchange closes its connection."""

    def __init__(
        self, clock: Clock, connect_timeout_s: float, gate: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`gate` is awaited before each request for a whole answer."""
        self._gate = gate
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._session = _session(
            aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=_RESOLVED_S, socket_factory=_socket
            )
        )
        self._on_sockets: dict[str, aiohttp.ClientSession] = {}
        self.adapters = Adapters(self._session)

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._session, *self._on_sockets.values()):
            await session.close()

    async def whole(self, effort: Effort) -> JsonObject | Failure:
        """The answer's body."""
        return await self._with_adapter(effort, self._whole)

    async def streamed(self, effort: Effort) -> aiohttp.ClientResponse | Failure:
        """A reply whose events come; it is the caller's to close."""
        return await self._with_adapter(effort, self._streamed)

    async def _with_adapter(self, effort: Effort, once: Once[T]) -> T | Failure:
        """Ask, and where the endpoint does not know a tuned model, have it load that and ask again."""
        result = await once(effort)
        unknown = isinstance(result, Failure) and result.status == HTTPStatus.NOT_FOUND
        if not unknown or effort.lane.adapter is None:
            return result
        failure = await self.adapters.load(effort.lane, effort.secret, unknown_at=effort.sent_at)
        return failure or await once(effort)

    async def _whole(self, effort: Effort) -> JsonObject | Failure:
        if self._gate is not None:
            await self._gate()
        async with self._post(effort, total=effort.lane.timeout_s) as reply:
            body = await reply.read()
            if reply.status != HTTPStatus.OK:
                return self._failure(effort, reply, body)
            pause_s = exhausted_for(reply.headers)
            if pause_s:
                effort.lane.limiter.close_until(effort.sent_at + pause_s)
            return _document(effort, reply, body)

    async def _streamed(self, effort: Effort) -> aiohttp.ClientResponse | Failure:
        reply = await self._post(effort, total=None)
        if reply.status == HTTPStatus.OK and reply.content_type == _EVENT_STREAM:
            return reply
        async with reply:
            body = await reply.read()
            if reply.status != HTTPStatus.OK:
                return self._failure(effort, reply, body)
            return failures.of_content(effort.lane.endpoint.name, reply.content_type, body)

    async def managed(self, effort: Effort, response_id: str, action: ResponseAction) -> JsonObject | Failure:
        """The answer to something other than a call: about a response that the endpoint keeps."""
        lane = effort.lane
        base, mark, query = lane.urls["responses"].partition("?")
        path = f"{quote(response_id, safe='')}{'/cancel' if action == 'cancel' else ''}"
        async with self._session_of(lane.endpoint).request(
            _METHODS[action],
            f"{base}/{path}{mark}{query}",
            headers=lane.endpoint.headers(effort.secret),
            timeout=aiohttp.ClientTimeout(total=lane.timeout_s, sock_connect=self._connect_timeout_s),
            allow_redirects=False,
        ) as reply:
            body = await reply.read()
            if reply.status != HTTPStatus.OK:
                return self._failure(effort, reply, body)
            document = loads(body)
            if not isinstance(document, dict):
                return failures.of_content(lane.endpoint.name, reply.content_type, body)
            return document

    def _post(self, effort: Effort, total: float | None) -> "aiohttp.client._RequestContextManager":
        lane = effort.lane
        return self._session_of(lane.endpoint).post(
            lane.urls[effort.api],
            data=effort.payload,
            headers=lane.endpoint.headers(effort.secret),
            timeout=aiohttp.ClientTimeout(
                total=total,
                sock_connect=self._connect_timeout_s,
                sock_read=lane.timeout_s if total is None else None,
            ),
            allow_redirects=False,
        )

    def _session_of(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        if endpoint.socket is None:
            return self._session
        if endpoint.socket not in self._on_sockets:
            self._on_sockets[endpoint.socket] = _session(
                aiohttp.UnixConnector(endpoint.socket, limit=0, keepalive_timeout=_KEEP_ALIVE_S)
            )
        return self._on_sockets[endpoint.socket]

    def _failure(self, effort: Effort, reply: aiohttp.ClientResponse, body: bytes) -> Failure:
        pause_s = retry_after(reply.headers, self._clock.now())
        if pause_s is None:
            pause_s = exhausted_for(reply.headers)
        return failures.of_status(effort.lane.endpoint.name, reply.status, body, effort.secret, pause_s)


async def events(reply: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Server-sent events as they came, each with the blank line that ends it."""
    rest = b""
    async for piece in reply.content.iter_any():
        rest += piece
        while (end := _end_of_event(rest)) > 0:
            yield rest[:end]
            rest = rest[end:]
    if rest.strip():
        yield rest


def _end_of_event(text: bytes) -> int:
    ends = [at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := text.find(mark)) >= 0]
    return min(ends, default=-1)


def _document(effort: Effort, reply: aiohttp.ClientResponse, body: bytes) -> JsonObject | Failure:
    """The answer, if it is one. Some proxies send their errors with status 200."""
    name = effort.lane.endpoint.name
    try:
        document = loads(body)
    except InvalidError:
        return failures.of_content(name, reply.content_type, body)
    if isinstance(document, dict):
        if isinstance(document.get(_MUST_HOLD[effort.api]), list):
            return document
        if document.get("error"):
            return failures.of_status(name, _status_in(document["error"]), body, effort.secret, None)
    return failures.of_content(name, reply.content_type, body)


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": f"regrade/{__version__}"},
    )


def _status_in(error: Any) -> int:
    """The HTTP status that an error of some proxies carries as its code.

    Their 5xx is about what is behind them for this one request; they themselves are not down.
    """
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < _SERVER_ERROR else _SERVER_ERROR


def _socket(address: tuple[object, ...]) -> socket.socket:
    family, kind, protocol = address[0], address[1], address[2]
    made = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
    for level, option, value in _SOCKET_OPTIONS:
        made.setsockopt(level, option, value)
    return made
