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
        self._reading = asyncio.Lock()

    async def __anext__(self) -> Line:
        """The next line, most often one that has been read already."""
        if not self._read:
            async with self._reading:
                if not self._read:
                    self._read.extend(await asyncio.to_thread(self._some))
        if not self._read:
            raise StopAsyncIteration
        return self._read.popleft()

    def _some(self) -> list[Line]:
        some: list[Line] = []
        size = 0
        for line in self._lines:
            some.append(line)
            size += len(line.text or b"")
            if len(some) == _LINES or size > _BYTES:
                break
        return some
