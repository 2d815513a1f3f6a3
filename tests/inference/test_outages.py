"""An endpoint that dies makes calls wait, and they go on when it returns."""

import asyncio

import pytest

from inference.conftest import chat, said
from regrade.core.errors import ModelError


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_calls_wait_for_a_dead_endpoint_and_go_on_when_it_returns(own, world):
    world.write(own.url)

    async def lived_through():
        async with world.models() as models:
            await models.ask(chat("echo"))
            own.kill()
            tasks = [asyncio.create_task(models.ask(chat("echo", f"question {n}"))) for n in range(40)]
            await until(models.waiting)
            since = models.waiting()["e0"]
            own.start()
            answers = await asyncio.gather(*tasks)
            return since, answers, models.waiting()

    since, answers, after = asyncio.run(lived_through())
    assert since > 1_700_000_000
    assert [said(answer) for answer in answers] == [f"question {n}" for n in range(40)]
    assert after == {}


def test_what_was_in_flight_when_the_endpoint_died_is_asked_again_and_nothing_else(own, world):
    world.write(own.url)

    async def lived_through():
        async with world.models() as models:
            done = [await models.ask(chat("echo", f"before {n}")) for n in range(20)]
            running = [asyncio.create_task(models.ask(chat("echo@slow=0.2x1", f"at work {n}"))) for n in range(8)]
            await until(lambda: own.state()["in_flight"] == 8)
            own.close_for(0.3)
            return done, await asyncio.gather(*running)

    _, answers = asyncio.run(lived_through())
    assert [said(answer) for answer in answers] == [f"at work {n}" for n in range(8)]
    asked = [each["body"]["messages"][0]["content"] for each in own.requests()]
    assert all(asked.count(f"before {n}") == 1 for n in range(20))
    assert all(asked.count(f"at work {n}") == 2 for n in range(8))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_says_nothing_is_behind_it_is_waited_for(there, status):
    assert there.ask(chat(f"echo@{status}x2"), attempts=1).attempts == 3


def test_patience_ends_with_the_last_words(world, own):
    world.write(own.url)
    own.kill()
    with pytest.raises(ModelError, match="The endpoint 'e0' cannot be reached") as caught:
        world.ask(chat("echo"), patience_s=0.4)
    assert "It has been down for" in caught.value.message


def test_when_patience_is_over_later_calls_fail_at_once(world, own):
    world.write(own.url)
    own.kill()

    async def asked():
        async with world.models(patience_s=0.3) as models:
            calls = (models.ask(chat("echo", f"{n}")) for n in range(300))
            return await asyncio.gather(*calls, return_exceptions=True)

    assert {type(each) for each in asyncio.run(asked())} == {ModelError}


def test_a_caller_that_does_not_persist_hears_at_once_that_an_endpoint_is_down(world, own):
    world.write(own.url)
    own.kill()

    async def asked():
        async with world.models() as models:
            waiting = asyncio.create_task(models.ask(chat("echo")))
            await until(models.waiting)
            with pytest.raises(ModelError, match="cannot be reached"):
                await models.ask(chat("echo", persist=False))
            waiting.cancel()

    asyncio.run(asked())


def test_several_calls_that_fail_while_none_succeeds_mean_an_outage(there):
    async def lived_through():
        async with there.models(attempts=2, first_pause_s=0.1) as models:
            tasks = [asyncio.create_task(models.ask(chat("echo", f"{n}"))) for n in range(8)]
            await until(models.waiting)
            return await asyncio.gather(*tasks)

    there.up.next_faults(*["500"] * 10)  # the first of each, and two that tried while all waited
    assert len(asyncio.run(lived_through())) == 8
    assert there.up.state()["requests"] == 18


def test_one_call_that_always_fails_is_no_outage(there):
    with pytest.raises(ModelError, match="answered 500"):
        there.ask(chat("echo@500"), attempts=4)
    assert there.up.state()["requests"] == 4


def test_calls_that_wait_can_be_cancelled(world, own):
    world.write(own.url)
    own.kill()

    async def cancelled():
        async with world.models() as models:
            tasks = [asyncio.create_task(models.ask(chat("echo", f"{n}"))) for n in range(50)]
            await until(models.waiting)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return models.waiting()

    assert asyncio.run(cancelled()) == {}


def test_an_endpoint_that_answers_with_errors_alone_is_not_waited_for_as_long_as_one_that_is_gone(there):
    async def asked():
        async with there.models(attempts=2, first_pause_s=0.01, patience_s=6.0) as models:
            calls = (models.ask(chat("echo@500", f"{n}")) for n in range(20))
            return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5.0)

    errors = asyncio.run(asked())
    assert {type(each) for each in errors} == {ModelError}
    assert all("answered 500" in each.message for each in errors)


def test_who_errs_in_vain_is_not_waited_for_again_until_it_has_answered(there):
    async def asked():
        async with there.models(attempts=2, first_pause_s=0.01, patience_s=3.0) as models:
            health = (await models._lane("echo@500")).health  # the same for all models of the endpoint
            calls = (models.ask(chat("echo@500", f"{n}")) for n in range(20))
            await asyncio.gather(*calls, return_exceptions=True)
            health._seen_at -= 10  # a quiet moment later
            there.up.forget()
            calls = (models.ask(chat("echo@500", f"again {n}")) for n in range(20))
            again = await asyncio.gather(*calls, return_exceptions=True)
            requests = there.up.state()["requests"]
            waited = models.waiting()
            await models.ask(chat("echo"))
            return again, requests, waited

    again, requests, waited = asyncio.run(asked())
    assert {type(each) for each in again} == {ModelError}
    assert requests == 40  # each call had its attempts
    assert waited == {}
