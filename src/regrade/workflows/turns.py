"""Who may use the processor of a worker: chunks take turns, long enough to end most of them in one."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TURN_SECONDS = 0.5
_RUNS_KNOWN = 1_000


class Turns:
    """The run that has waited longest since its last turn goes first; within a run, its first chunk.

    Chunks that shared the processor row by row would all end at the same moment, and the worker would stand idle
    until it has found the next ones. In turns they end one after the other, and the next one is always there. A run
    that is new has never had a turn, so it waits for one at most.
    """

    def __init__(self, seconds: float = _TURN_SECONDS) -> None:
        self._seconds = seconds
        self._taken = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count(1)
        self._last: dict[int, int] = {}
        """The number of each run's last turn."""

    @asynccontextmanager
    async def turn(self, run: int, k: int) -> AsyncIterator["Turn"]:
        """Wait for the turn of a run's chunk and have it, but for what `Turn.pause` gives away."""
        turn = Turn(self, run, k, self._seconds)
        await turn.take()
        try:
            yield turn
        finally:
            turn.give()

    async def take(self, run: int, k: int) -> None:
        """Wait until it is this chunk's turn."""
        if self._taken:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append((run, k, mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self.give()
                raise
        self._taken = True
        self._last.pop(run, None)
        self._last[run] = next(self._numbers)
        if len(self._last) > _RUNS_KNOWN:
            del self._last[next(iter(self._last))]

    def give(self) -> None:
        """Let the next one have the turn."""
        self._taken = False
        self._waiting = [each for each in self._waiting if not each[2].done()]
        if self._waiting:
            first = min(self._waiting, key=lambda each: (self._last.get(each[0], 0), each[1]))
            self._waiting.remove(first)
            self._taken = True
            first[2].set_result(None)


class Turn:
    """The right to compute, for a while at a time."""

    def __init__(self, turns: Turns, run: int, k: int, seconds: float) -> None:
        self.seconds = seconds
        """How long it is, at most, while others wait."""
        self._turns = turns
        self._run = run
        self._k = k
        self._held = False
        self._ends = 0.0

    async def take(self) -> None:
        """Wait for the turn."""
        await self._turns.take(self._run, self._k)
        self._held = True
        self._ends = time.perf_counter() + self.seconds

    def give(self) -> None:
        """End the turn; harmless where it was given already."""
        if self._held:
            self._held = False
            self._turns.give()

    async def pause(self) -> None:
        """Let the loop breathe; once the time is up, let others that wait go first."""
        over = time.perf_counter() >= self._ends
        if over:
            self.give()
        await asyncio.sleep(0)
        if over:
            await self.take()
