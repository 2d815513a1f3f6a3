"""The machine's clock and randomness: where time and ids really come from."""

import secrets
import threading
import time
import uuid

from regrade.core.ids import PREFIXES, time_ordered


class SystemClock:
    """ports.Clock on the wall clock, which never seems to stand still or go back within this process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        """Unix seconds."""
        return time.time_ns() // 1_000_000_000

    def nanoseconds(self) -> int:
        """Unix nanoseconds, larger at every call."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last


class SystemIds:
    """ports.Ids from the clock and the system's randomness."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock

    def new(self, kind: str) -> str:
        """A new id; later ones sort after earlier ones."""
        return time_ordered(PREFIXES[kind], self._clock.nanoseconds(), secrets.randbits(64))

    def uuid4(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())  # noqa: TID251 - this is where they come from

    def secret(self) -> str:
        """43 URL-safe random characters: 256 bits."""
        return secrets.token_urlsafe(32)
