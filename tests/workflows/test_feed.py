"""Lines from threads: each once, in order for who takes them, while the loop does other things."""

import asyncio
import threading

import pytest

from regrade.sources.jsonl import Line
from regrade.workflows.feed import LineFeed

LINES = [Line(n, n + 1, b"x") for n in range(1_700)]


def test_many_takers_get_every_line_once():
    async def take():
        feed = LineFeed(iter(LINES))
        taken = []

        async def taker():
            async for line in feed:
                taken.append(line)
                await asyncio.sleep(0)

        await asyncio.gather(*(taker() for _ in range(7)))
        return taken

    assert sorted(asyncio.run(take())) == LINES


def test_one_taker_gets_them_in_order():
    async def take():
        return [line async for line in LineFeed(iter(LINES))]

    assert asyncio.run(take()) == LINES


def test_a_source_that_does_not_answer_holds_up_nobody_else():
    answers = threading.Event()

    def slow():
        answers.wait(30)
        yield LINES[0]

    async def take():
        taking = asyncio.create_task(anext(LineFeed(slow())))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not taking.done()
        answers.set()
        return await taking

    assert asyncio.run(take()) == LINES[0]


def test_a_source_that_fails_fails_its_taker():
    def failing():
        yield LINES[0]
        raise OSError("gone")

    async def take():
        return [line async for line in LineFeed(failing())]

    with pytest.raises(OSError, match="gone"):
        asyncio.run(take())
