"""The rows of one chunk, from lines to commits: one after the other, or many at once where they wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from regrade.core.entities import FinishedItem
from regrade.sources.jsonl import Line
from regrade.workflows.turns import Turns

BATCH_ROWS = 200
BATCH_SECONDS = 0.02
_LOOK_SECONDS = 0.5
"""How often a chunk that has nothing to commit looks whether it is still wanted."""

Finish = Callable[[Line], Awaitable[FinishedItem]]
Commit = Callable[[Sequence[FinishedItem]], bool]
"""Commits a batch, which may be empty; False where the chunk is somebody else's now, or its run has ended."""


async def one_by_one(lines: AsyncIterator[Line], finish: Finish, commit: Commit, turns: Turns) -> bool:
    """Grade on the processor alone. Whether the chunk is still ours at the end."""
    async with turns.turn() as turn:
        batch: list[FinishedItem] = []
        deadline = time.perf_counter() + BATCH_SECONDS
        async for line in lines:
            batch.append(await finish(line))
            if len(batch) == BATCH_ROWS or time.perf_counter() > deadline:
                # Committed on the loop: a thread would only wait for the same interpreter lock.
                if not commit(batch):
                    return False
                batch = []
                await turn.pause()
                deadline = time.perf_counter() + BATCH_SECONDS
        return commit(batch)


async def many_at_once(lines: AsyncIterator[Line], finish: Finish, commit: Commit, at_once: int) -> bool:
    """Grade up to `at_once` rows at a time. Whether the chunk is still ours at the end.

    Where it is not, all calls that are under way are cancelled, which closes their connections.
    """
    finished: list[FinishedItem] = []

    async def work() -> None:
        async for line in lines:
            finished.append(await finish(line))  # noqa: PERF401 - shared by all, and emptied meanwhile

    tasks = [asyncio.create_task(work()) for _ in range(at_once)]
    looked = time.perf_counter()
    try:
        while not all(task.done() for task in tasks):
            await asyncio.sleep(BATCH_SECONDS)
            if finished or time.perf_counter() - looked > _LOOK_SECONDS:
                batch, finished[:] = finished[:], []
                if not commit(batch):
                    return False
                looked = time.perf_counter()
        for task in tasks:
            task.result()  # an error in one row's machinery is the chunk's
        return commit(finished)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_turns(lines: AsyncIterator[Line], finish: Finish, commit: Commit, at_once: int, turns: Turns) -> bool:
    """As `many_at_once`, but rows are begun only while the chunk has its turn.

    For rows that wait for other processes of this machine: chunks then end one after the other, and while the last
    rows of one are still away the next one begins.
    """
    feed = _FeedInTurns(lines)
    holding = asyncio.create_task(feed.hold(turns))
    try:
        return await many_at_once(feed, finish, commit, at_once)
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


class _FeedInTurns(AsyncIterator[Line]):
    """Gives lines while it has the turn."""

    def __init__(self, lines: AsyncIterator[Line]) -> None:
        self._lines = lines
        self._mine = asyncio.Event()
        self._all_read = asyncio.Event()

    async def __anext__(self) -> Line:
        if not self._mine.is_set():
            await self._mine.wait()
        try:
            return await anext(self._lines)
        except StopAsyncIteration:
            self._all_read.set()
            self._mine.set()  # nobody needs a turn to learn that there is nothing left
            raise

    async def hold(self, turns: Turns) -> None:
        """Have the turn until all lines are read, but for what others are due in between."""
        async with turns.turn() as turn:
            while not self._all_read.is_set():
                self._mine.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._all_read.wait(), turns.seconds)
                if not self._all_read.is_set():
                    self._mine.clear()
                await turn.pause()
