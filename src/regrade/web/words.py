"""Numbers, times and documents in the words of the pages."""

import json
from datetime import UTC, datetime

from regrade.types.json import JsonValue

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUTE = 60
_HOUR = 3600
_PRECISE = 10.0  # scores below this have three decimals, so that columns of them line up

NOTHING = "\N{EN DASH}"


def count(number: int) -> str:
    """`5,000`."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """`78.6`, without the sign."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def score(value: float | None) -> str:
    """`0.750`, and large numbers shorter."""
    if value is None:
        return NOTHING
    return f"{value:.3f}" if abs(value) < _PRECISE else f"{value:.6g}"


def duration(seconds: int | None) -> str:
    """`6 min 41 s`; the stored times are whole seconds, so that 0 of them is less than one."""
    if seconds is None:
        return NOTHING
    if seconds <= 0:
        return "< 1 s"
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"


def moment(timestamp: int) -> str:
    """`21 Nov 2026, 18:02 UTC`."""
    at = datetime.fromtimestamp(timestamp, tz=UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def machine_moment(timestamp: int) -> str:
    """The same for the `datetime` attribute."""
    return datetime.fromtimestamp(timestamp, tz=UTC).isoformat()


def pretty(value: JsonValue) -> str:
    """Indented JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def text(value: JsonValue) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def clipped(value: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(value[: 4 * limit].split())
    return line if len(line) <= limit and len(value) <= 4 * limit else f"{line[: limit - 1]}…"
