"""When to ask again, and how long to wait before: attempts, pauses, budget, what the upstream says about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How much trouble an answer is worth."""

    attempts: int = 6
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    patience_s: float = 900.0
    """How long calls wait for an endpoint that is down."""
    timeout_s: float = 600.0
    """For one attempt, unless the endpoint has its own."""
    connect_timeout_s: float = 10.0
    most_at_once: int | None = None
    """Calls of one model that this process may have in flight, whatever the endpoint allows."""

    def pause(self, attempt: int, spread: float) -> float:
        """Seconds to wait after a failed attempt (the first is 1): full jitter, `spread` being in [0, 1)."""
        return spread * float(min(self.longest_pause_s, self.first_pause_s * 2 ** (attempt - 1)))


class Budget:
    """Repeats that an endpoint is spared: a share of its answers and some a second, so that no storm arises.

    Who finds it empty is not refused, but waits longer.
    """

    __slots__ = ("_at", "_level")

    SHARE = 0.2
    PER_SECOND = 10.0
    SAVED = 100.0

    def __init__(self, now: float) -> None:
        self._level = self.SAVED
        self._at = now

    def earn(self) -> None:
        """An answer came."""
        self._level = min(self.SAVED, self._level + self.SHARE)

    def wait(self, now: float) -> float:
        """Take one repeat; seconds until it may be sent."""
        self._level = min(self.SAVED, self._level + (now - self._at) * self.PER_SECOND) - 1.0
        self._at = now
        return max(0.0, -self._level / self.PER_SECOND)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The pause in seconds that an answer asks for; `now` is Unix time, for those that name a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def exhausted_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit that an answer has used up is reset; None where none is used up."""
    pauses = [
        span(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0"
    ]
    return max((pause for pause in pauses if pause is not None), default=None)


def span(text: str) -> float | None:
    """Seconds of a span such as `1s`, `6m0s`, `120ms`, or a mere number."""
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _number(text)


def _number(text: str | None) -> float | None:
    """A number of at least zero that is neither infinite nor NaN."""
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
