import asyncio
from contextlib import aclosing

import pytest

from inference.conftest import chat, responses, said
from regrade.core.errors import InvalidError, ModelError
from regrade.inference.cache import ResponseCache
from regrade.ports.models import ModelCall


def test_an_answer_comes_with_the_name_of_who_gave_it(there):
    answer = there.ask(chat("vendor/echo", "What is 6 x 7?"))
    assert said(answer) == "What is 6 x 7?"
    assert (answer.model, answer.attempts, answer.cached) == ("vendor/echo-001", 1, False)


def test_an_alias_is_asked_by_the_name_behind_it(world, fresh):
    world.write(fresh.url, aliases={"o3-mini": "upper"})
    assert said(world.ask(chat("o3-mini", "hi"))) == "HI"
    assert fresh.requests()[0]["body"]["model"] == "upper"


def test_embeddings_are_asked_for_in_the_same_way(there):
    answer = there.ask(ModelCall(api="embeddings", model="embed", body={"input": ["a b", "b a"]}))
    first, second = (each["embedding"] for each in answer.body["data"])
    assert first == second


def test_a_chat_endpoint_answers_in_the_responses_api(world, fresh):
    world.write({"base_url": fresh.url, "api": ["chat"]})
    answer = world.ask(responses("upper", "hi", max_output_tokens=9, instructions="Be loud."))
    assert answer.body["object"] == "response"
    assert answer.body["output"][-1]["content"][0]["text"] == "HI"
    sent = fresh.requests()[0]
    assert sent["path"] == "/v1/chat/completions"
    assert [each["role"] for each in sent["body"]["messages"]] == ["system", "user"]
    assert sent["body"]["max_completion_tokens"] == 9


def test_an_endpoint_of_the_responses_api_answers_chat(world, fresh):
    world.write({"base_url": fresh.url, "api": ["responses"]})
    answer = world.ask(chat("upper", "hi", max_tokens=20, seed=3))
    assert (said(answer), answer.body["object"]) == ("HI", "chat.completion")
    sent = fresh.requests()[0]
    assert (sent["path"], sent["body"]["max_output_tokens"]) == ("/v1/responses", 20)
    assert "seed" not in sent["body"]


@pytest.mark.parametrize(("marked", "sent"), [(True, 3), (False, None)])
def test_the_responses_api_gets_a_seed_where_the_endpoint_is_marked_so(world, fresh, marked, sent):
    world.write({"base_url": fresh.url, "seed": marked})
    world.ask(responses("echo", seed=3))
    assert fresh.requests()[0]["body"].get("seed") == sent


@pytest.mark.parametrize(
    "given", ["max_completion_tokens", "max_completions_tokens", "max_tokens", "max_output_tokens"]
)
@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_the_limit_of_an_answer_is_spelled_as_the_endpoint_wants(world, fresh, given, key):
    world.write({"base_url": fresh.url, "max_tokens_key": key})
    world.ask(chat("echo", **{given: 5}))
    body = fresh.requests()[0]["body"]
    assert {name: value for name, value in body.items() if name.startswith("max_")} == {key: 5}


def test_an_endpoint_that_refuses_a_spelling_is_asked_again_and_from_then_on_in_the_other(there):
    async def asked():
        async with there.models() as models:
            first = await models.ask(chat("echo@no=max_completion_tokens", max_tokens=5))
            second = await models.ask(chat("echo@no=max_completion_tokens", "again", max_tokens=5))
            return first.attempts, second.attempts

    assert asyncio.run(asked()) == (2, 1)


def test_a_lenient_call_leaves_out_what_the_model_does_not_take(there):
    call = chat("echo@no=temperature@no=reasoning_effort", temperature=0, reasoning_effort="low", lenient=True)
    assert there.ask(call).attempts == 3
    body = there.up.requests()[-1]["body"]
    assert not {"temperature", "reasoning_effort"} & set(body)


def test_other_calls_hear_that_the_model_does_not_take_it(there):
    with pytest.raises(ModelError, match="'temperature' is not supported with this model") as caught:
        there.ask(chat("echo@no=temperature", temperature=0))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_parameter")
    assert there.up.state()["requests"] == 1


def test_what_says_nothing_about_the_answer_is_left_out_for_everybody(there):
    assert there.ask(chat("echo@no=store", store=True)).attempts == 2


def test_azure_is_asked_by_deployment_with_its_header(world, fresh):
    world.secrets["AZURE"] = "azure-key"
    base = fresh.url.removesuffix("/v1")
    world.write({"base_url": base, "azure": True, "api_key_env": "AZURE", "models": ["echo@key=azure-key"]})
    assert said(world.ask(chat("echo@key=azure-key"))) == "hello there"
    assert fresh.requests()[0]["path"] == "/openai/deployments/echo@key=azure-key/chat/completions"


def test_the_key_is_read_when_a_call_needs_it(world, fresh, tmp_path):
    (tmp_path / "key").write_text("first\n")
    world.write({"base_url": fresh.url, "api_key_file": "key"})

    async def asked():
        async with world.models() as models:
            await models.ask(chat("echo"))
            (tmp_path / "key").write_text("second\n")
            await models.ask(chat("echo", "again"))

    asyncio.run(asked())
    assert [each["headers"]["authorization"] for each in fresh.requests()] == ["Bearer first", "Bearer second"]


def test_a_key_that_is_not_there_is_told_by_its_place(world, fresh):
    world.write({"base_url": fresh.url, "api_key_env": "NOWHERE"})
    with pytest.raises(ModelError, match="the variable NOWHERE, which is not set"):
        world.ask(chat("echo"))
    assert fresh.state()["requests"] == 0


def test_a_key_that_the_upstream_repeats_is_not_told(world, fresh):
    world.secrets["KEY"] = "sk-planted"
    world.write({"base_url": fresh.url, "api_key_env": "KEY"})
    with pytest.raises(ModelError, match="Incorrect API key") as caught:
        world.ask(chat("echo@key=other"))
    assert "sk-planted" not in caught.value.message
    assert caught.value.status == 401


def test_check_refuses_what_no_endpoint_serves_and_what_it_cannot_do(world, fresh):
    world.write({"base_url": fresh.url, "api": ["chat"], "models": ["gpt-4o"], "tools": False})

    async def checked():
        async with world.models() as models:
            models.check("gpt-4o", "responses", {"input": "hi"}, param="model")
            refusals = []
            for model, api, body in (
                ("gpt4o", "chat", {}),
                ("gpt-4o", "embeddings", {"input": "a"}),
                ("gpt-4o", "responses", {"input": "a", "tools": [{"type": "web_search"}]}),
                ("gpt-4o", "chat", {"messages": [], "tools": [{"type": "function"}]}),
            ):
                with pytest.raises(InvalidError) as caught:
                    models.check(model, api, body, param="data_source.model")
                assert caught.value.param == "data_source.model"
                refusals.append((caught.value.code, caught.value.message))
            return refusals

    unknown, embeddings, kind, tools = asyncio.run(checked())
    assert unknown == ("model_not_found", "The model 'gpt4o' does not exist. Close to it: gpt-4o.")
    assert "speaks chat, not embeddings" in embeddings[1]
    assert "web_search" in kind[1]
    assert "'e0'" in kind[1]
    assert "takes no tools" in tools[1]


# -- streams ------------------------------------------------------------------------------------------------


def streamed(world, call):
    async def asked():
        async with world.models() as models:
            return [event async for event in models.stream(call)]

    return asyncio.run(asked())


def test_a_stream_gives_each_event_as_it_came(there):
    events = streamed(there, chat("echo", "one two three", stream=True))
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    assert len(events) == 6


def test_a_stream_of_the_responses_api_has_named_events(there):
    events = streamed(there, responses("echo", stream=True))
    assert events[0].startswith(b"event: response.created\ndata: ")
    assert events[-1].startswith(b"event: response.completed\n")


def test_a_stream_that_could_not_begin_is_tried_again(there):
    assert streamed(there, chat("echo@500x2", stream=True))[-1] == b"data: [DONE]\n\n"
    assert there.up.state()["requests"] == 3


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_a_stream_that_breaks_off_is_an_error_and_not_an_end(there, fault):
    with pytest.raises(ModelError, match="'e0'"):
        streamed(there, chat(f"echo@{fault}", stream=True))
    assert there.up.state()["requests"] == 1


def test_leaving_a_stream_closes_its_request_and_gives_its_turn_back(there):
    async def left():
        async with there.models() as models:
            call = chat("long=20000", stream=True)
            async with aclosing(models.stream(call)) as events:
                async for _ in events:
                    break
            return await models.ask(chat("echo"))

    there.write({"base_url": there.up.url, "max_concurrency": 1})
    assert said(asyncio.run(left())) == "hello there"


# -- cancelling, deadlines ----------------------------------------------------------------------------------


def test_cancelling_a_call_closes_its_request(there):
    async def cancelled():
        async with there.models() as models:
            task = asyncio.create_task(models.ask(chat("echo@hang")))
            while not there.up.state()["in_flight"]:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not there.up.state()["abandoned"]:
                await asyncio.sleep(0.01)

    asyncio.run(cancelled())
    assert there.up.state()["in_flight"] == 0


def test_a_call_ends_at_its_deadline(there):
    with pytest.raises(ModelError, match=r"gave no answer within 0\.2 seconds") as caught:
        there.ask(chat("echo@hang", deadline_s=0.2))
    assert caught.value.code == "timeout"


def test_an_attempt_ends_at_its_timeout_and_the_next_may_succeed(there):
    assert there.ask(chat("echo@hangx1"), timeout_s=0.2).attempts == 2


def test_an_endpoint_may_have_a_timeout_of_its_own(world, fresh):
    world.write({"base_url": fresh.url, "timeout_seconds": 1})
    with pytest.raises(ModelError, match="no answer within 1 seconds"):
        world.ask(chat("echo@hang", persist=False))


# -- the cache ----------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path):
    cache = ResponseCache(tmp_path / "cache.sqlite3", max_bytes=1 << 20)
    yield cache
    cache.close()


def test_the_same_request_is_answered_from_the_cache_and_says_so(there, cache):
    first, again = there.ask(chat("echo"), cache=cache), there.ask(chat("echo"), cache=cache)
    assert (first.cached, again.cached) == (False, True)
    assert first.body == again.body
    assert there.up.state()["requests"] == 1


def test_another_question_model_or_repetition_is_another_request(there, cache):
    calls = [chat("echo"), chat("echo", "hi"), chat("upper"), chat("echo", repetition=1), chat("echo", seed=1)]
    assert not any(there.ask(call, cache=cache).cached for call in calls)


def test_what_failed_is_not_kept(there, cache):
    for _ in range(2):
        with pytest.raises(ModelError):
            there.ask(chat("echo@400"), cache=cache)
    assert there.up.state()["requests"] == 2


def test_answers_to_requests_with_secrets_in_their_tools_are_not_kept(there, cache):
    tools = [{"type": "mcp", "server_label": "x", "authorization": "planted"}]
    for _ in range(2):
        assert not there.ask(responses("echo", tools=tools), cache=cache).cached


def test_the_oldest_answers_go_where_the_cache_becomes_too_large(tmp_path):
    cache = ResponseCache(tmp_path / "small.sqlite3", max_bytes=100_000)
    for number in range(1000):
        cache.put(b"%d" % number, {"text": "x" * 1000})
    assert cache.get(b"0") is None
    assert cache.get(b"999") == {"text": "x" * 1000}
    cache.close()
