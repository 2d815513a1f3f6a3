"""What upstreams say that they serve: GET /models, asked in threads of its own and remembered."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from regrade.core.endpoints import Endpoint
from regrade.core.errors import RegradeError
from regrade.core.jsontext import loads

_TIMEOUT_S = 3.0
_FRESH_S = 60.0
_RETRY_S = 15.0  # a list that could not be had is asked for again after this
_MAX_BYTES = 16 << 20


class UpstreamLists:
    """The names that each endpoint lists; asked for when somebody wants them and they are old."""

    def __init__(self, secret: Callable[[Endpoint], str | None], changed: Callable[[], None]) -> None:
        """`changed` is called, in some thread, when a list is not what it was."""
        self._secret = secret
        self._changed = changed
        self._entries: dict[Endpoint, _Entry] = {}
        self._lock = threading.Lock()

    def known(
        self, endpoints: Iterable[Endpoint], *, wait: bool, within_s: float = _FRESH_S
    ) -> dict[str, frozenset[str]]:
        """The lists that are known, by the endpoint's name. Older ones than `within_s` are asked for again.

        `wait` waits for answers of endpoints that were never asked, or that are asked again to be so young.
        """
        asked = [self._ask_if_old(endpoint, within_s) for endpoint in endpoints if endpoint.patterns]
        if wait:
            for entry in asked:
                if entry.asked_at is None or within_s < _FRESH_S:
                    entry.idle.wait(_TIMEOUT_S + 1)
        return {entry.endpoint.name: entry.names for entry in asked if entry.names is not None}

    def _ask_if_old(self, endpoint: Endpoint, within_s: float) -> "_Entry":
        with self._lock:
            entry = self._entries.setdefault(endpoint, _Entry(endpoint))
            failed = entry.asked_at is not None and not entry.answered
            old = entry.asked_at is None or time.monotonic() - entry.asked_at > (_RETRY_S if failed else within_s)
            if old and entry.idle.is_set():
                entry.idle.clear()
                threading.Thread(
                    target=self._ask, args=(entry,), name=f"models {endpoint.name}", daemon=True
                ).start()
        return entry

    def _ask(self, entry: "_Entry") -> None:
        names = None
        try:
            with suppress(RegradeError, OSError, HTTPException, ValueError, TypeError, KeyError):
                names = ask_list(entry.endpoint, self._secret(entry.endpoint))
        finally:
            changed = names is not None and names != entry.names
            entry.answered = names is not None
            entry.asked_at = time.monotonic()
            # An upstream that is down for a while still serves what it listed before.
            entry.names = entry.names if names is None else names
            entry.idle.set()
        if changed:
            self._changed()


class _Entry:
    """One endpoint's list, and how young it is."""

    __slots__ = ("answered", "asked_at", "endpoint", "idle", "names")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.names: frozenset[str] | None = None
        self.asked_at: float | None = None
        self.answered = False
        self.idle = threading.Event()
        self.idle.set()


def ask_list(endpoint: Endpoint, secret: str | None) -> frozenset[str] | None:
    """What the endpoint lists now; None where it has no such list. Raises OSError, HTTPException or ValueError."""
    if endpoint.azure:
        return None  # Azure lists what could be deployed, not what is
    parts = urlsplit(endpoint.base_url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path}/models", headers=endpoint.headers(secret))
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            return None
        document = loads(answer.read(_MAX_BYTES))
        return frozenset(str(model["id"]) for model in document["data"])
    finally:
        connection.close()
