"""The rows of one chunk, from lines to commits: one after the other, or many at once where they wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Literal, Protocol

from regrade.core.entities import FinishedItem
from regrade.ports.workers import Pulse, StoppedError
from regrade.sources.jsonl import Line
from regrade.workflows.pulse import ROW, RowProgress
from regrade.workflows.turns import Turn

BATCH_ROWS = 200
BATCH_SECONDS = 0.02
_LOOK_SECONDS = 0.5
"""How often a chunk that has nothing to commit looks whether it is still wanted."""

_BATCHES_AT_ONCE = 32
_BATCH_MOST = 32
_SHORT_BATCH_SECONDS, _LONG_BATCH_SECONDS = 0.1, 0.5

Finish = Callable[[Line], Awaitable[FinishedItem]]
FinishAll = Callable[[Sequence[Line]], Awaitable[list[FinishedItem]]]
Commit = Callable[[list[FinishedItem]], Awaitable[bool]]
"""Commits what is in the list, which may be nothing, and empties it.

False where the chunk is somebody else's now, or its run has ended.
"""
Outcome = Literal["done", "lost", "stopped"]
"""Every row has its item; the chunk is not ours any more; the worker stops and leaves the rest to another."""


class Feed(Protocol):
    """Where lines come from; several tasks take from it."""

    async def take(self, most: int) -> list[Line]:
        """The next lines, at least one until all have been taken."""
        ...


class RowRoom:
    """How many rows may wait for models at once in a worker; chunks have equal parts of it."""

    def __init__(self, rows: int, *, most_of_a_chunk: int) -> None:
        self._rows = rows
        self._most = most_of_a_chunk
        self._chunks = 0

    @property
    def part(self) -> int:
        """How many rows of each chunk."""
        return max(1, min(self._most, self._rows // max(1, self._chunks)))

    def __enter__(self) -> "RowRoom":
        self._chunks += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._chunks -= 1


async def one_by_one(
    lines: AsyncIterator[Line],
    finish: Finish,
    commit: Commit,
    turn: AbstractAsyncContextManager[Turn],
    pulse: Pulse,
) -> Outcome:
    """Grade on the processor alone, while the chunk has its turn."""
    async with turn as mine:
        batch: list[FinishedItem] = []
        deadline = time.perf_counter() + BATCH_SECONDS
        async for line in lines:
            batch.append(await finish(line))
            if len(batch) == BATCH_ROWS or time.perf_counter() > deadline:
                if not await commit(batch):
                    return "lost"
                if pulse.stopping:
                    return "stopped"
                await mine.pause()
                deadline = time.perf_counter() + BATCH_SECONDS
        return "done" if await commit(batch) else "lost"


async def many_at_once(lines: Feed, finish: Finish, commit: Commit, room: RowRoom, pulse: Pulse) -> Outcome:
    """Grade as many rows at a time as there is room for.

    Where the chunk is lost, all calls that are under way are cancelled, which closes their connections. Where the
    worker stops, they are waited for, and rows for which nobody has been asked yet are left.
    """
    return await _many(lines, _one(finish), commit, room, pulse, most=1)


def _one(finish: Finish) -> FinishAll:
    async def finish_all(lines: Sequence[Line]) -> list[FinishedItem]:
        return [await finish(line) for line in lines]

    return finish_all


async def _many(
    lines: Feed, finish: FinishAll, commit: Commit, room: RowRoom, pulse: Pulse, *, most: int
) -> Outcome:
    rows = _Rows(lines, finish, room, pulse, _BatchSize(most))
    looked = time.perf_counter()
    with room:
        try:
            while True:
                over = not rows.keep_busy()
                if rows.finished or over or time.perf_counter() - looked > _LOOK_SECONDS:
                    # While the database is away no row is begun: what cannot be kept would be asked for again.
                    rows.may_begin.clear()
                    if not await commit(rows.finished):
                        return "lost"
                    rows.may_begin.set()
                    looked = time.perf_counter()
                if over:
                    return "stopped" if rows.left else "done"
                await rows.under_way(BATCH_SECONDS)
        finally:
            await rows.cancel()


class _BatchSize:
    """How many rows go together: more where they are done soon, so that nothing waits long for anything."""

    def __init__(self, most: int) -> None:
        self.rows = 1
        self._most = most

    def learn(self, rows: int, seconds: float) -> None:
        """A batch took so long."""
        if seconds > _LONG_BATCH_SECONDS:
            self.rows = max(1, self.rows // 2)
        elif seconds < _SHORT_BATCH_SECONDS and rows == self.rows:
            self.rows = min(self._most, 2 * self.rows)


class _Rows:
    """Rows that are graded at the same time, in batches, each by a task that goes on with the next one."""

    def __init__(self, lines: Feed, finish: FinishAll, room: RowRoom, pulse: Pulse, size: _BatchSize) -> None:
        self._size = size
        self._lines = lines
        self._finish = finish
        self._room = room
        self._pulse = pulse
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._exhausted = False
        self._turned_away = False
        self.finished: list[FinishedItem] = []
        self.may_begin = asyncio.Event()
        self.may_begin.set()

    @property
    def left(self) -> bool:
        """Whether there are rows that nobody has begun, because the worker stops."""
        return self._turned_away or not self._exhausted

    def keep_busy(self) -> bool:
        """Begin as many rows as there is room for; False once none are left and none are under way."""
        for task in [each for each in self._tasks if each.done()]:
            self._tasks.remove(task)
            task.result()  # an error in one row's machinery is the chunk's
        while self._running < self._room.part and not (self._exhausted or self._pulse.stopping):
            self._running += 1
            self._tasks.add(asyncio.create_task(self._work()))
        return bool(self._tasks)

    async def under_way(self, seconds: float) -> None:
        """Let them go on for so long, or until all have ended."""
        await asyncio.wait(self._tasks, timeout=seconds)

    async def cancel(self) -> None:
        """End all that is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._running <= self._room.part:
                some = await self._lines.take(self._size.rows)
                if not some:
                    self._exhausted = True
                    return
                if not self.may_begin.is_set():
                    await self.may_begin.wait()
                if self._pulse.stopping:
                    self._turned_away = True
                    return
                ROW.set(RowProgress())
                began = time.perf_counter()
                self.finished += await self._finish(some)
                self._size.learn(len(some), time.perf_counter() - began)
        except StoppedError:
            self._turned_away = True
        finally:
            self._running -= 1


async def in_batches(
    lines: Feed,
    finish: FinishAll,
    commit: Commit,
    turn: AbstractAsyncContextManager[Turn],
    pulse: Pulse,
) -> Outcome:
    """As `many_at_once`, but in batches, which are begun only while the chunk has its turn.

    For rows that wait for other processes of this machine: chunks then end one after the other, and while the last
    rows of one are still away the next one begins.
    """
    feed = _FeedInTurns(lines)
    holding = asyncio.create_task(feed.hold(turn))
    try:
        room = RowRoom(_BATCHES_AT_ONCE, most_of_a_chunk=_BATCHES_AT_ONCE)
        return await _many(feed, finish, commit, room, pulse, most=_BATCH_MOST)
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


class _FeedInTurns:
    """Gives lines while it has the turn."""

    def __init__(self, lines: Feed) -> None:
        self._lines = lines
        self._mine = asyncio.Event()
        self._all_read = asyncio.Event()

    async def take(self, most: int) -> list[Line]:
        if not self._mine.is_set():
            await self._mine.wait()
        taken = await self._lines.take(most)
        if not taken:
            self._all_read.set()
            self._mine.set()  # nobody needs a turn to learn that there is nothing left
        return taken

    async def hold(self, turn: AbstractAsyncContextManager[Turn]) -> None:
        """Have the turn until all lines are read, but for what others are due in between."""
        async with turn as mine:
            while not self._all_read.is_set():
                self._mine.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._all_read.wait(), mine.seconds)
                if not self._all_read.is_set():
                    self._mine.clear()
                await mine.pause()
