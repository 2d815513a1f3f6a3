import asyncio
import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.shares import Amounts, Limits
from regrade.inference.bucket import Bucket
from regrade.inference.limiter import Limiter
from regrade.inference.retry import Budget, Policy, exhausted_for, retry_after, span

EVENTS = st.sampled_from(["acquire", "cancel", "release", "succeed", "fail", "refuse"])


def limiter(ceiling=256, *, requests=None, tokens=None):
    loop = asyncio.get_running_loop()
    limits = Limits(turns=ceiling, requests=requests and requests / 60, tokens=tokens and tokens / 60)
    return Limiter(limits, loop.time())


def happen(event, number, turns, tasks):
    """One thing that may happen to a limiter; `tasks` are those that wait for a turn or have one."""
    now = asyncio.get_running_loop().time()
    waiting = [task for task in tasks if not task.done()]
    holding = [task for task in tasks if task.done()]
    match event:
        case "acquire":
            tasks.append(asyncio.create_task(turns.acquire()))
        case "cancel" if waiting:
            waiting[number % len(waiting)].cancel()
        case "release" if holding:
            tasks.remove(holding[number % len(holding)])
            turns.release()
        case "succeed":
            turns.succeeded(now, now)
        case "fail":
            turns.failed(now, now)
        case "refuse":
            turns.refused(now, now)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 20)), max_size=60), st.integers(1, 6))
def test_turns_are_never_more_than_the_limit_and_never_lost(events, ceiling):
    async def lived():
        turns, tasks = limiter(ceiling), []
        for event, number in [*events, *[("release", 0)] * 60]:
            most = max(turns.limit, turns.in_flight)
            happen(event, number, turns, tasks)
            most = max(turns.limit, most)
            for _ in range(3):
                await asyncio.sleep(0)
            tasks = [task for task in tasks if not task.cancelled()]
            assert turns.in_flight == sum(task.done() for task in tasks) <= min(ceiling, most)
        assert (tasks, turns.in_flight, turns.queued) == ([], 0, 0)

    asyncio.run(lived())


def test_the_limit_grows_while_it_is_used_up_to_the_ceiling():
    async def grown():
        turns = limiter(100)
        first = turns.limit
        for _ in range(500):
            while turns.in_flight < turns.limit:
                await turns.acquire()
            turns.succeeded(0.0, 0.0)
        return first, turns.limit

    assert asyncio.run(grown()) == (32, 100)


def test_the_limit_does_not_grow_while_nobody_needs_it():
    async def idle():
        turns = limiter()
        for _ in range(100):
            await turns.acquire()
            turns.succeeded(0.0, 0.0)
            turns.release()
        return turns.limit

    assert asyncio.run(idle()) == 32


def test_many_refusals_of_one_round_cut_once_and_those_of_later_rounds_again():
    async def cut():
        turns = limiter()
        now = asyncio.get_running_loop().time()
        rounds = [turns.refused(now, now + 1) for _ in range(30)]
        once = turns.limit
        rounds.append(turns.refused(now + 2, now + 3))
        return once, turns.limit, rounds[0], rounds[-1]

    assert asyncio.run(cut()) == (22, 15, 1, 2)


def test_the_limit_never_falls_below_one():
    async def cut():
        turns = limiter()
        for moment in range(1, 100):
            turns.failed(1e9 + moment, 1e9 + moment)
        return turns.limit

    assert asyncio.run(cut()) == 1


def test_answers_that_get_much_slower_cut_the_limit_unless_fewer_at_once_are_no_help():
    async def slowed():
        turns = limiter(32)
        limits, sent_at = [], 1e9
        for seconds in [1.0] * 64 + [9.0] * 400:
            turns.succeeded(sent_at, sent_at + seconds)
            sent_at += 10
            limits.append(turns.limit)
        return limits

    limits = asyncio.run(slowed())
    assert min(limits) < 32
    assert min(limits) >= 20  # and not down and down


def test_turns_go_round_among_projects_by_their_weights_and_to_the_urgent_first_within_one():
    async def given():
        turns, loop = limiter(6), asyncio.get_running_loop()
        turns.grant(Amounts(6.0), math.inf, Amounts(), {"heavy": 2.0}, loop.time())
        for _ in range(6):
            await turns.acquire(project="before")
        order = []

        async def ask(project, urgency):
            await turns.acquire(urgency=urgency, project=project)
            order.append((project, urgency))

        waiting = [ask("large", 9) for _ in range(20)] + [ask("heavy", 5 - n) for n in range(4)] + [ask("small", 7)]
        tasks = [asyncio.create_task(each) for each in waiting]
        await asyncio.sleep(0)
        for _ in range(6):
            turns.release("before")
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    order = asyncio.run(given())
    assert [urgency for project, urgency in order if project == "heavy"] == [2, 3, 4]
    assert sorted(project for project, _ in order) == ["heavy"] * 3 + ["large"] * 2 + ["small"]


def test_a_grant_that_is_over_leaves_a_small_part_until_the_next_one():
    async def lived():
        turns, loop = limiter(20), asyncio.get_running_loop()
        levels = []
        for granted, until in ((Amounts(0.0), math.inf), (Amounts(8.0), -1.0), (Amounts(8.0), math.inf)):
            turns.grant(granted, until, Amounts(2.0), {}, loop.time())
            tasks = [asyncio.create_task(turns.acquire()) for _ in range(12)]
            await asyncio.sleep(0.01)
            levels.append(turns.in_flight)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _ in range(turns.in_flight):
                turns.release()
        return levels

    assert asyncio.run(lived()) == [0, 2, 8]


def test_needs_are_told_by_project_and_only_as_far_as_the_endpoint_bears_them():
    async def told():
        turns, loop = limiter(200, requests=60_000), asyncio.get_running_loop()
        tasks = [asyncio.create_task(turns.acquire(project="one")) for _ in range(150)]
        await asyncio.sleep(0.01)
        first = turns.needs(loop.time())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(turns.in_flight):
            turns.release("one")
        turns.needs(loop.time())
        return first, turns.needs(loop.time())

    first, last = asyncio.run(told())
    assert first["one"].turns == pytest.approx(2 * 32 + 4)
    assert first["one"].requests > 100
    assert last == {}


def test_a_closed_limiter_opens_by_itself():
    async def closed():
        turns = limiter()
        loop = asyncio.get_running_loop()
        began = loop.time()
        turns.close_until(began + 0.05)
        await asyncio.gather(*(turns.acquire() for _ in range(3)))
        return loop.time() - began

    assert asyncio.run(closed()) >= 0.05


def test_requests_a_minute_are_kept_by_waiting():
    async def paced():
        turns = limiter(requests=6000)  # 100 a second, 50 of them at once
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(60):
            await turns.acquire()
            turns.release()
        return loop.time() - began

    assert asyncio.run(paced()) >= 0.09


@given(
    st.floats(1, 1e6),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 100)), max_size=50),
)
def test_a_bucket_spends_no_more_than_its_rate_and_one_burst(per_minute, requests):
    bucket, now, spent, largest = Bucket(per_minute / 60, 0.0), 0.0, 0.0, 0.0
    for amount, gap in requests:
        now += gap
        now += bucket.wait(amount, now)
        assert bucket.wait(amount, now) <= 1e-6 * max(1.0, now)
        bucket.take(amount)
        spent += amount
        largest = max(largest, amount)
    burst = max(1.0, per_minute / 120)
    assert spent <= now * per_minute / 60 * (1 + 1e-6) + burst + largest + 1e-3


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_are_random_and_bounded(attempt, spread):
    policy = Policy()
    pause = policy.pause(attempt, spread)
    assert 0 <= pause <= min(30.0, 2.0 ** (attempt - 1))
    assert policy.pause(attempt, 0.0) == 0.0


def test_repeats_beyond_the_budget_wait_and_answers_pay_for_more():
    budget = Budget(0.0)
    assert [budget.wait(0.0) for _ in range(100)] == [0.0] * 100
    assert budget.wait(0.0) == pytest.approx(0.1)
    assert budget.wait(0.0) == pytest.approx(0.2)
    for _ in range(20):
        budget.earn()
    assert budget.wait(0.0) == 0.0
    assert budget.wait(100.0) == 0.0


NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "2", "retry-after-ms": "150"}, 0.15),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan", "retry-after": "1"}, 1.0),
    ],
)
def test_how_long_an_answer_asks_to_wait(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3s", 3723),
        ("1d", 86400),
        ("7", 7),
        ("", None),
        ("1x", None),
    ],
)
def test_spans_are_read(text, seconds):
    assert span(text) == (seconds if seconds is None else pytest.approx(seconds))


def test_only_a_limit_that_is_spent_makes_wait():
    spent = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    left = {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1s"}
    assert exhausted_for(left) is None
    assert exhausted_for(left | spent) == 360
