"""Who may use the processor of a worker: chunks take turns, long enough to end most of them in one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TURN_SECONDS = 0.5


class Turns:
    """First come, first served.

    Chunks that shared the processor row by row would all end at the same moment, and the worker would stand idle
    until it has found the next ones. In turns they end one after the other, and the next one is always there.
    """

    def __init__(self, seconds: float = _TURN_SECONDS) -> None:
        self.seconds = seconds
        """How long a turn is."""
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """Wait for the turn and have it, but for what `Turn.pause` gives away."""
        turn = Turn(self._lock, self.seconds)
        await turn.take()
        try:
            yield turn
        finally:
            turn.give()


class Turn:
    """The right to compute, for a while at a time."""

    def __init__(self, lock: asyncio.Lock, seconds: float) -> None:
        self._lock = lock
        self._seconds = seconds
        self._held = False
        self._ends = 0.0

    async def take(self) -> None:
        """Wait until all who came before have had their turn."""
        await self._lock.acquire()
        self._held = True
        self._ends = time.perf_counter() + self._seconds

    def give(self) -> None:
        """End the turn; harmless where it was given already."""
        if self._held:
            self._held = False
            self._lock.release()

    async def pause(self) -> None:
        """Let the loop breathe; once the time is up, let all others that wait go first."""
        over = time.perf_counter() >= self._ends
        if over:
            self.give()
        await asyncio.sleep(0)
        if over:
            await self.take()
