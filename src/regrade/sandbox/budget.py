"""How many worker processes there are at a time, and who gets the next one."""

from collections import deque
from collections.abc import Callable


class Budget:
    """Each program may have one worker; more of them only while fewer than `limit` are there.

    At most `most` in all: a program that finds none left waits, and the others give theirs back as soon as they
    have nothing under way. Used on one event loop.
    """

    def __init__(self, limit: int, most: int) -> None:
        self._limit = limit
        self._most = most
        self._taken = 0
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a first worker."""
        return bool(self._waiting)

    @property
    def taken(self) -> int:
        """Workers that are there now."""
        return self._taken

    def take_first(self, when_free: Callable[[], None]) -> bool:
        """A program's first worker; where there is none, `when_free` is called once, later."""
        if self._taken >= self._most:
            if when_free not in self._waiting:
                self._waiting.append(when_free)
            return False
        self._taken += 1
        return True

    def take_another(self) -> bool:
        """One more for a program that has some."""
        if self._taken >= self._limit or self._waiting:
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        """A worker is gone."""
        self._taken -= 1
        waiting, self._waiting = self._waiting, deque()
        for when_free in waiting:  # who still needs one and comes too late waits again, in the same order
            when_free()
