"""Upkeep: of all workers the oldest that lives does it, and a chore that fails stops no other."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from databases import open_database
from regrade.core.entities import Worker
from regrade.store.workers import SqlWorkers
from regrade.workflows.upkeep import Chore, repeat

PERIOD = 0.01


@pytest.fixture
def workers(new_database_url, tmp_path):
    with open_database(new_database_url(), tmp_path / "store.sqlite3") as database:
        yield SqlWorkers(database)


@asynccontextmanager
async def upkeep(*rounds):
    tasks = [asyncio.create_task(each) for each in rounds]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(PERIOD)


def test_the_oldest_worker_does_it_alone_and_the_next_one_when_that_one_dies(workers):
    names = ["worker_1", "worker_2", "worker_3"]
    for name in names:
        workers.add(Worker(id=name, host="here", pid=1))
    done, looked = [], []

    def rounds_of(name):
        def mine():
            looked.append(name)
            return workers.is_oldest(name)

        return repeat([Chore(name="note", do=lambda: done.append(name))], mine=mine, period=PERIOD)

    async def live():
        async with upkeep(*map(rounds_of, names)):
            for living in (names, names[1:], names[2:]):
                await until(lambda: len(done) > 2 and all(looked.count(name) > 2 for name in names))
                assert set(done) == {living[0]}
                workers.end(living[0])
                # A round that was begun before may still end.
                looked.clear()
                await until(lambda: all(looked.count(name) > 1 for name in names))
                done.clear()
                looked.clear()

    asyncio.run(live())


def test_a_chore_that_fails_stops_neither_the_others_nor_the_next_round():
    done = []

    def fail():
        done.append("failed")
        raise OSError("no room")

    async def live():
        chores = [Chore(name="fail", do=fail), Chore(name="note", do=lambda: done.append("noted"))]
        async with upkeep(repeat(chores, mine=lambda: True, period=PERIOD)):
            await until(lambda: len(done) >= 4)

    asyncio.run(live())
    assert done[:4] == ["failed", "noted"] * 2
