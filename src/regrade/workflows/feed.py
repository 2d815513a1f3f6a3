"""Lines for the event loop, read in threads: their source may lie in a bucket that does not answer."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator

from regrade.sources.jsonl import Line

_LINES = 500
_BYTES = 1 << 20


class LineFeed(AsyncIterator[Line]):
    """Takes some lines at a time out of an iterator; several tasks may share one feed."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._read: deque[Line] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._over = False

    async def __anext__(self) -> Line:
        """The next line, most often one that has been read already."""
        if not self._read and not await self._refilled():
            raise StopAsyncIteration
        return self._read.popleft()

    async def take(self, most: int) -> list[Line]:
        """The next lines, at least one until all have been taken."""
        if not self._read and not await self._refilled():
            return []
        return [self._read.popleft() for _ in range(min(most, len(self._read)))]

    async def _refilled(self) -> bool:
        """Wait for lines; whether there were any left."""
        while not self._read and not self._over:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_on())
                self._reading.add_done_callback(_seen)
            # All who find nothing wait for the same reading, which goes on when one of them is cancelled.
            await asyncio.shield(self._reading)
        return bool(self._read)

    async def _read_on(self) -> None:
        some = await asyncio.to_thread(self._some)
        self._read.extend(some)
        self._over = not some

    def _some(self) -> list[Line]:
        some: list[Line] = []
        size = 0
        for line in self._lines:
            some.append(line)
            size += len(line.text or b"")
            if len(some) == _LINES or size > _BYTES:
                break
        return some


def _seen(reading: asyncio.Task[None]) -> None:
    """Nobody may be left to hear how it ended."""
    if not reading.cancelled():
        reading.exception()
