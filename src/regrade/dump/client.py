"""Asking the hosted API: patient with limits and broken connections, clear about what it refuses."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp

from regrade.core.errors import AuthenticationError, ConfigurationError, UnavailableError
from regrade.dump.resources import MalformedAnswerError
from regrade.types.json import JsonObject

AT_ONCE = 4
OPENAI = "https://api.openai.com/v1"
GO_ON = "What was saved stays saved; the same command goes on from there."

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_CONNECT_SECONDS = 30
_SILENCE_SECONDS = 120
_ERROR_BODY = 64 << 10
_REASON_LENGTH = 300
_RETRIED = {408, 409, 425}

T = TypeVar("T")


class RefusedError(Exception):
    """The service does not give this, now or ever; others may still be had."""

    def __init__(self, reason: str, status: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where to ask, and as whom."""

    base_url: str
    """Ends before the resource's name: `https://api.openai.com/v1`."""
    key: str = field(repr=False)
    azure: bool = False
    organization: str | None = None
    project: str | None = None

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        headers = {"Accept": "application/json"}
        if self.azure:
            headers["aoai-evals"] = "preview"
            # Azure takes a resource's key, or a token of Entra ID: a JWT, which has three parts.
            token = self.key.startswith("eyJ") and self.key.count(".") == 2  # noqa: PLR2004
            headers |= {"Authorization": f"Bearer {self.key}"} if token else {"api-key": self.key}
        else:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.organization:
            headers["OpenAI-Organization"] = self.organization
        if self.project:
            headers["OpenAI-Project"] = self.project
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on trying; seconds."""

    attempts: int = 6
    """Of one request that breaks or meets a server error."""
    limited: int = 30
    """Answers 429 in a row to one request."""
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_asked: float = 600.0
    """A Retry-After beyond this ends the walk."""
    given_up: int = 20
    """Requests given up in a row, with no answer between them, before the whole service counts as down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why an attempt brought nothing, and may bring something later."""

    reason: str
    status: int | None = None
    offline: bool = False
    asked: float | None = None
    """Seconds that the service asked to wait."""


def check_base_url(text: str) -> str:
    """A base URL that a key may be sent to. Raises ConfigurationError."""
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a URL: {error}.") from error
    if "@" in url.netloc:
        raise ConfigurationError("The URL holds a user name or a password; give it without, and the key apart.")
    if url.scheme not in {"https", "http"} or not url.hostname or url.query or url.fragment:
        raise ConfigurationError(f"{text!r} is no base URL; give one such as {OPENAI}.")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        raise ConfigurationError(f"{text} would send the key unencrypted; give an https:// URL.")
    return text.rstrip("/")


def azure_base_url(endpoint: str) -> str:
    """The base URL of an Azure OpenAI resource, however much of it was given."""
    base = check_base_url(endpoint)
    return base.removesuffix("/v1").removesuffix("/openai") + "/openai/v1"


class Hosted:
    """The hosted API. Use it as an async context manager."""

    def __init__(self, account: Account, patience: Patience, *, jitter: Callable[[], float]) -> None:
        """`jitter` gives numbers from 0 to 1."""
        self._account = account
        self._patience = patience
        self._jitter = jitter
        self._not_before = 0.0
        self._given_up = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._account.headers(),
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
            trust_env=urlsplit(self._account.base_url).hostname
            not in _LOOPBACK,  # the proxy that the machine is set to
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(
        self, path: str, query: dict[str, str], read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        """What `read` makes of the answer; it is called again, with a new answer, where one breaks off.

        Raises RefusedError where others may still be had, AuthenticationError and UnavailableError where none can.
        """
        broken = limited = 0
        while True:
            await self._turn()
            outcome = await self._attempt(path, query, read)
            if not isinstance(outcome, _Failure):
                self._given_up = 0
                return outcome
            if outcome.status == 429:  # noqa: PLR2004
                limited += 1
                self._limited(outcome, limited)
                continue
            broken += 1
            if broken >= self._patience.attempts:
                self._give_up(outcome, broken)
            self._pause_checked(outcome.asked)
            await asyncio.sleep(max(outcome.asked or 0.0, self._backoff(broken)))

    async def _attempt(
        self, path: str, query: dict[str, str], read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T | _Failure:
        url = self._account.base_url + path + (f"?{urlencode(query)}" if query else "")
        try:
            # A redirect is not followed: it would take the key to another host.
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status == 200:  # noqa: PLR2004
                    return await read(response)
                body = await _beginning(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return _Failure(reason=self._clean(f"no connection: {error}"), offline=True)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return _Failure(reason=self._clean(f"the connection broke: {str(error) or type(error).__name__}"))
        except MalformedAnswerError as error:
            return _Failure(reason=self._clean(str(error)))
        return await self._failure(path, response, _error_of(body))

    async def _failure(self, path: str, response: aiohttp.ClientResponse, error: JsonObject) -> _Failure:
        status, message = response.status, error.get("message")
        reason = self._clean(f"{status} {message if isinstance(message, str) else response.reason or ''}".strip())
        if status == 429 or status in _RETRIED or status >= 500:  # noqa: PLR2004
            return _Failure(reason=reason, status=status, asked=_retry_after(response))
        if status == 401 and await self._is_wrong_key(path, error):  # noqa: PLR2004
            raise AuthenticationError(f"{self._account.base_url} does not accept this key ({reason}).")
        raise RefusedError(reason, status)

    async def _is_wrong_key(self, path: str, error: JsonObject) -> bool:
        """Whether a 401 means the key, or only this resource."""
        if error.get("code") == "invalid_api_key":
            return True
        if "scope" in str(error.get("message")).lower():  # a restricted key is told which of its scopes are missing
            return False
        if path == "/models":
            return True
        try:
            await self.get("/models", {}, _beginning)
        except RefusedError:
            return False
        except AuthenticationError:
            return True
        return False

    async def _turn(self) -> None:
        """Wait until the service's rate limit lets anybody ask again."""
        while (wait := self._not_before - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - it moves
            await asyncio.sleep(wait)

    def _limited(self, failure: _Failure, times: int) -> None:
        self._pause_checked(failure.asked)
        if times >= self._patience.limited:
            raise UnavailableError(f"{self._account.base_url} keeps limiting the rate ({failure.reason}). {GO_ON}")
        wait = failure.asked if failure.asked is not None else self._backoff(times)
        self._not_before = max(self._not_before, asyncio.get_running_loop().time() + wait)

    def _pause_checked(self, asked: float | None) -> None:
        if asked is not None and asked > self._patience.longest_asked:
            raise UnavailableError(f"{self._account.base_url} asks to come back in {asked:.0f} seconds. {GO_ON}")

    def _give_up(self, failure: _Failure, attempts: int) -> None:
        if failure.offline:
            raise UnavailableError(f"{self._account.base_url} cannot be reached ({failure.reason}). {GO_ON}")
        self._given_up += 1
        if self._given_up >= self._patience.given_up:
            raise UnavailableError(
                f"{self._account.base_url} fails at everything asked of it; last: {failure.reason}. {GO_ON}"
            )
        raise RefusedError(f"{failure.reason} ({attempts} attempts)", failure.status)

    def _backoff(self, attempt: int) -> float:
        wait = min(self._patience.longest_wait, self._patience.first_wait * 2.0 ** (attempt - 1))
        return wait * (0.5 + self._jitter() / 2)

    def _clean(self, reason: str) -> str:
        """A reason that may be shown and kept: one line, not endless, without the key."""
        return " ".join(reason.replace(self._account.key, "[the key]").split())[:_REASON_LENGTH]


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < _ERROR_BODY and (piece := await response.content.read(_ERROR_BODY)):
        body += piece
    return body


def _error_of(body: bytes) -> JsonObject:
    """The error object in a body, of either vendor; `{}` where there is none."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    error = document.get("error", document) if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """The seconds that an answer asks to wait, in any of the three ways to say it."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(response.headers[header]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(response.headers["retry-after"])
        answered = parsedate_to_datetime(response.headers["date"])
        seconds: float = (until - answered).total_seconds()
        return seconds if seconds > 0 else 0.0
    except (KeyError, ValueError, TypeError):
        return None
