"""A rate, kept by waiting."""

import math

_BURST_S = 0.5
"""Bursts are of so many seconds' worth at most, or of one call: no ten seconds see a tenth too much."""


class Bucket:
    """So much a second, spent evenly but for short bursts."""

    __slots__ = ("_at", "_capacity", "_level", "_rate", "_unused")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._capacity = self._level = max(1.0, rate * _BURST_S)
        self._at = now
        self._unused = True

    def refill_at(self, rate: float, now: float) -> None:
        """Another rate from now on; what was saved at the old one counts only as far as the new one would save."""
        self._refill(now)
        self._rate = rate
        self._capacity = max(1.0, rate * _BURST_S)
        if self._unused:
            self._level = self._capacity
        elif rate:
            self._level = min(self._level, self._capacity)
        else:
            self._level = min(self._level, 0.0)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; one larger than a whole burst needs a full bucket."""
        self._refill(now)
        missing = min(amount, self._capacity) - self._level
        if not self._rate:
            return math.inf
        return missing / self._rate if missing > 1e-9 else 0.0  # noqa: PLR2004 - what floats lose

    def take(self, amount: float) -> None:
        """Spend; a negative amount gives back."""
        self._unused = False
        self._level -= amount

    def _refill(self, now: float) -> None:
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
