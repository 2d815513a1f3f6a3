"""Turns: one at a time, runs one after the other, and nobody for longer than a while when others wait."""

import asyncio

import pytest

from regrade.workflows.turns import Turns


async def work(turns, name, steps, seen, *, run=0):
    async with turns.turn(run, ord(name)) as turn:
        for _ in range(steps):
            seen.append(name)
            await turn.pause()


def order(turns, *, one_run=False, **steps):
    """Who has worked; each letter is a chunk, of a run of its own or of the same."""
    seen = []

    async def all_of_them():
        runs = {name: 0 if one_run else number for number, name in enumerate(steps)}
        await asyncio.gather(*(work(turns, name, count, seen, run=runs[name]) for name, count in steps.items()))

    asyncio.run(all_of_them())
    return "".join(seen)


def test_who_comes_first_ends_first_within_its_time():
    assert order(Turns(seconds=60), a=3, b=2, c=1) == "aaabbc"


def test_after_its_time_a_long_one_lets_the_others_go_first():
    assert order(Turns(seconds=0), a=4, b=2, c=1) == "abcabaa"


def test_the_first_chunk_of_a_run_goes_before_its_later_ones():
    assert order(Turns(seconds=60), one_run=True, b=1, c=2, a=2) == "baacc"


def test_a_run_that_comes_new_waits_for_one_turn_at_most():
    turns, seen, before = Turns(seconds=0), [], []

    async def come_new():
        while len(seen) < 3:
            await asyncio.sleep(0)
        before.extend(seen)
        await work(turns, "x", 1, seen, run=2)

    async def a_short_run_among_long_ones():
        await asyncio.gather(come_new(), *(work(turns, name, 5, seen, run=1) for name in "abcd"))

    asyncio.run(a_short_run_among_long_ones())
    assert seen.index("x") <= len(before) + 1


def test_a_turn_that_fails_is_over():
    turns = Turns()

    async def fail():
        async with turns.turn(1, 0):
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
