"""Turns: one at a time, in the order of coming, and nobody for longer than a while when others wait."""

import asyncio

import pytest

from regrade.workflows.turns import Turns


async def work(turns, name, steps, seen):
    async with turns.turn() as turn:
        for _ in range(steps):
            seen.append(name)
            await turn.pause()


def order(turns, **steps):
    seen = []

    async def all_of_them():
        await asyncio.gather(*(work(turns, name, count, seen) for name, count in steps.items()))

    asyncio.run(all_of_them())
    return "".join(seen)


def test_who_comes_first_ends_first_within_its_time():
    assert order(Turns(seconds=60), a=3, b=2, c=1) == "aaabbc"


def test_after_its_time_a_long_one_lets_the_others_go_first():
    assert order(Turns(seconds=0), a=4, b=2, c=1) == "abcabaa"


def test_a_turn_that_fails_is_over():
    turns = Turns()

    async def fail():
        async with turns.turn():
            raise LookupError

    async def fail_then_work():
        with pytest.raises(LookupError):
            await fail()
        await work(turns, "a", 1, [])

    asyncio.run(asyncio.wait_for(fail_then_work(), 5))


def test_who_is_cancelled_while_waiting_holds_up_nobody():
    turns = Turns(seconds=0)

    async def cancel_one_of_three():
        seen = []
        tasks = [asyncio.create_task(work(turns, name, 3, seen)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen.count("a"), seen.count("c")

    assert asyncio.run(asyncio.wait_for(cancel_one_of_three(), 5)) == (3, 3)
