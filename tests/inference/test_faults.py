"""What misbehaves is asked again; what cannot be had is told in the upstream's own words."""

import asyncio

import pytest

from inference.conftest import chat, said
from regrade.core.errors import ModelError

ONCE = ["429x1", "429=0x1", "429ms=20x1", "500x1", "408x1", "409x1", "529x1", "503=0x1", "resetx1", "cutx1"]
ONCE += ["malformedx1", "htmlx1", "error200x1", "dropx1"]


@pytest.mark.parametrize("fault", ONCE)
def test_what_goes_wrong_once_is_asked_again(there, fault):
    answer = there.ask(chat(f"echo@{fault}"))
    assert said(answer) == "hello there"
    assert answer.attempts == there.up.state()["requests"] == 2


@pytest.mark.parametrize(
    ("fault", "words", "status", "code"),
    [
        ("400", "The endpoint 'e0' answered 400: Told to answer 400.", 400, "server_error"),
        ("quota", "You exceeded your current quota.", 429, "insufficient_quota"),
        ("307", "answered 307", 307, "server_error"),
        ("key=x", "Incorrect API key", 401, "invalid_api_key"),
        ("429=5000", "answered 429", 429, "rate_limit_exceeded"),
    ],
)
def test_what_would_fail_again_is_not_asked_again(there, fault, words, status, code):
    with pytest.raises(ModelError) as caught:
        there.ask(chat(f"echo@{fault}"))
    assert words in caught.value.message
    assert (caught.value.status, caught.value.code) == (status, code)
    assert there.up.state()["requests"] == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500", "answered 500: Told to answer 500."),
        ("429", "answered 429: Told to answer 429."),
        ("html", "Welcome to nginx!"),
        ("malformed", "is no answer of this API"),
        ("error200", "Provider returned error"),
        ("reset", "'e0'"),
        ("drop", "closed the connection without an answer"),
    ],
)
def test_what_goes_wrong_always_is_tried_so_often_and_told(there, fault, words):
    with pytest.raises(ModelError) as caught:
        there.ask(chat(f"echo@{fault}"), attempts=3)
    assert words in caught.value.message
    free = 2 if fault == "drop" else 0  # a kept connection may have ended before the request was read
    assert there.up.state()["requests"] == 3 + free


@pytest.mark.parametrize("fault", ["500", "429", "429=0", "502", "hang"])
def test_a_caller_whose_client_repeats_by_itself_hears_of_the_first_failure(there, fault):
    with pytest.raises(ModelError):
        there.ask(chat(f"echo@{fault}", persist=False), timeout_s=0.3)
    assert there.up.state()["requests"] == 1


def test_a_model_that_the_upstream_does_not_know_is_told_in_its_words(there):
    with pytest.raises(ModelError, match="The model 'nobody' does not exist") as caught:
        there.ask(chat("nobody"))
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def many(world, faults, *, count=240, at_once=32, **options):
    """Ask `count` questions over models with these faults; the answers in order."""

    async def asked():
        async with world.models(**options) as models:
            left = iter(range(count))
            answers = [None] * count

            async def caller():
                for number in left:
                    call = chat(f"echo{faults[number % len(faults)]}", f"question {number}")
                    answers[number] = await models.ask(call)

            await asyncio.gather(*(caller() for _ in range(at_once)))
            return answers

    return asyncio.run(asked())


def test_hundreds_of_calls_to_an_upstream_that_misbehaves_lose_nothing(there):
    faults = ["", "@500x1", "@429x1", "@429ms=20x1", "@resetx1", "@malformedx2", "@dropx1", "@slow=0.05", "@cutx1"]
    answers = many(there, faults)
    assert [said(answer) for answer in answers] == [f"question {number}" for number in range(240)]
    assert there.up.state()["requests"] == sum(answer.attempts for answer in answers)


def test_an_upstream_that_takes_few_at_once_gets_all_calls_through(there):
    answers = many(there, ["@limit=4@slow=0.005"], count=150)
    assert len(answers) == 150
    refused = there.up.state()["requests"] - 150
    assert refused < 150  # the limiter has learned


def test_no_more_are_in_flight_than_the_endpoint_allows(world, fresh):
    world.write({"base_url": fresh.url, "max_concurrency": 5})
    many(world, ["@slow=0.01"], count=60)
    assert fresh.state()["most_in_flight"] == 5


def test_an_answer_that_says_the_limit_is_spent_makes_the_next_call_wait(there):
    async def asked():
        async with there.models() as models:
            loop = asyncio.get_running_loop()
            await models.ask(chat("echo@spent=0.3"))
            began = loop.time()
            await models.ask(chat("echo@spent=0.3", "next"))
            return loop.time() - began

    assert asyncio.run(asked()) > 0.2


def test_a_kept_connection_that_has_ended_meanwhile_loses_no_request(own, world):
    world.write(own.url)

    async def asked():
        async with world.models() as models:
            first = await models.ask(chat("echo"))
            own.kill()
            own.start()
            return first, await models.ask(chat("echo", "again"))

    first, second = asyncio.run(asked())
    assert said(second) == "again"
    assert first.attempts == 1
