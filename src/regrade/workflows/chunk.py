"""The rows of one chunk, from lines to commits: one after the other, or many at once where models are asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

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
