"""Whether this server can do its work: each part is looked at, seldom enough for a route that needs no key."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from regrade.ports.system import Clock

logger = logging.getLogger(__name__)

OK = "ok"
_FRESH_NANOSECONDS = 1_000_000_000

Check = Callable[[], str | None]
"""What is wrong with a part, as a sentence, or None; may wait for it, and may raise what it raises."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, for each part `ok` or a sentence."""

    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether everything is as it should be; what was never looked at is not."""
        return bool(self.parts) and all(says == OK for says in self.parts.values())


class Readiness:
    """Looks at the parts of a server."""

    def __init__(self, checks: Mapping[str, Check], clock: Clock) -> None:
        self._checks = checks
        self._clock = clock
        self._looking = Lock()
        self._looked_at = -_FRESH_NANOSECONDS
        self._found = Findings()

    def look(self) -> Findings:
        """How things are; at most one caller waits for the parts, the others get what was found before."""
        if self._looking.acquire(blocking=not self._found.parts):
            try:
                now = self._clock.nanoseconds()
                if now - self._looked_at >= _FRESH_NANOSECONDS:
                    self._found = Findings({name: self._check(name, check) for name, check in self._checks.items()})
                    self._looked_at = self._clock.nanoseconds()
            finally:
                self._looking.release()
        return self._found

    def _check(self, name: str, check: Check) -> str:
        try:
            return check() or OK
        except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work
            before = self._found.parts.get(name, OK)
            if before == OK:
                logger.warning("The server is not ready, for its %s: %s", name, error)
            return f"The {name} did not answer. The server's log says more."
