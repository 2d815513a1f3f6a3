"""Requests to strangers, guarded: a URL that a client names must lead to nothing that only this machine reaches.

The guard looks at the address of every connection before it is made, whatever name led there. A name that means one
thing when it is checked and another when it is used gains nothing.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from regrade import __version__
from regrade.core.addresses import Allowed, is_public, parse
from regrade.ports.outbound import UnreachableError

TIMEOUT_SECONDS = 10.0
_USER_AGENT = f"OpenAI/1.0 (Regrade/{__version__})"
_RESOLVING_AT_ONCE = 16
_REDIRECTS = 3
_OK = 200
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_URL = re.compile(r"https?://[!-\[\]-~]+", re.IGNORECASE)
"""What can be seen of ASCII, but for the backslash, which some take for a slash."""


class _NotPublicError(OSError):
    """The guard's word."""


class Outbound:
    """ports.Outbound. Every request has a connection of its own, and nothing is kept between them."""

    def __init__(
        self,
        *,
        allowed: Allowed | None = None,
        http: bool = False,
        timeout_s: float = TIMEOUT_SECONDS,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`http` lets URLs without TLS pass."""
        self._allowed = allowed or Allowed()
        self._http = http
        self._timeout_s = timeout_s
        self._resolver = resolver or _Resolver()

    def check(self, url: str) -> str | None:
        """Look at the URL alone, without asking anybody."""
        host = _host(url)
        if host is None:
            return "It must be a URL with a host, such as https://example.com/webhook, and without a user name."
        if not self._http and not url.lower().startswith("https:"):
            return "It must begin with https://. The server's operator may allow http:// (--webhook-http)."
        address = parse(host)
        is_local = host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
        known = address is not None and not is_public(address) and address not in self._allowed
        if (known or is_local) and host not in self._allowed.hosts:
            return (
                f"{host} is not a public address. The server's operator may allow it (--webhook-private-networks)."
            )
        return None

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """Send, and read of the answer its status alone."""
        problem = self.check(url)  # what is allowed may have changed since the URL was stored
        if problem is not None:
            raise UnreachableError(problem)
        headers = {"content-type": "application/json", **headers}
        try:
            async with self._session(url) as session:
                reply = await session.post(url, headers=headers, data=body, allow_redirects=False)
                reply.close()
                return reply.status
        except _FAILURES as error:
            raise UnreachableError(_reason(error, self._timeout_s)) from error

    async def get(self, url: str, *, most_bytes: int) -> bytes:
        """Fetch what lies there; each redirect is checked as the URL is."""
        for _ in range(_REDIRECTS + 1):
            problem = self.check(url)
            if problem is not None:
                raise UnreachableError(problem)
            try:
                async with self._session(url) as session:
                    # Not compressed, so that what comes over the wire is all that there is.
                    reply = await session.get(url, headers={"accept-encoding": "identity"}, allow_redirects=False)
                    if "location" not in reply.headers:
                        return await _content(reply, most_bytes)
                    url = urljoin(url, reply.headers["location"])
            except _FAILURES as error:
                raise UnreachableError(_reason(error, self._timeout_s)) from error
        raise UnreachableError(f"It leads on to other URLs more than {_REDIRECTS} times.")

    def _session(self, url: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(_host(url) or ""),
            connector_owner=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            headers={"user-agent": _USER_AGENT},
            auto_decompress=False,
        )

    def _connector(self, host: str) -> aiohttp.TCPConnector:
        def guarded(info: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, target = info
            address = parse(target[0])
            if host not in self._allowed.hosts and (
                address is None or not (is_public(address) or address in self._allowed)
            ):
                raise _NotPublicError
            return socket.socket(family, kind, protocol)

        return aiohttp.TCPConnector(
            resolver=self._resolver, use_dns_cache=False, force_close=True, socket_factory=guarded
        )


class _Resolver(AbstractResolver):
    """The system's resolver, in threads of its own: names that nobody answers for hold up no other work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVING_AT_ONCE, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Every address of a name."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=each_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for each_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to give back: all requests share the threads."""


async def _content(reply: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    if reply.status != _OK:
        raise UnreachableError(f"It answered with the status {reply.status}.")
    content = bytearray()
    async for piece in reply.content.iter_any():
        content += piece
        if len(content) > most_bytes:
            raise UnreachableError(f"It is larger than {most_bytes >> 20} MiB.")
    return bytes(content)


def _host(url: str) -> str | None:
    """The host of a well-formed URL, in small letters."""
    if not _URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in parts.netloc or parts.fragment else parts.hostname


def _reason(error: Exception, timeout_s: float) -> str:
    """What a person needs to know, without the URL, which may hold secrets."""
    match error:
        case TimeoutError():
            return f"It did not answer within {timeout_s:g} seconds."
        case aiohttp.ClientConnectorDNSError():
            return "The name of its host cannot be resolved."
        case aiohttp.ClientConnectorCertificateError():
            return "Its certificate is not valid."
        case aiohttp.ClientConnectorError(os_error=_NotPublicError()):
            return (
                "Its host has no public address. The server's operator may allow it (--webhook-private-networks)."
            )
        case aiohttp.ClientConnectorError(os_error=OSError() as cause):
            return f"It cannot be reached: {cause.strerror or cause}."
        case _:
            return f"It did not answer as HTTP servers do ({type(error).__name__})."
