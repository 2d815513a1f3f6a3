"""What a running engine answers, asked as the server asks it."""

import asyncio
import json
import math

import jsonschema_rs
import pytest

pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.local.conftest import chat, said
from regrade.core.errors import ModelError
from regrade.core.server_sent_events import data_of

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["yes", "no"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
        "why": {"type": "string", "maxLength": 12},
    },
    "required": ["label", "score", "why"],
    "additionalProperties": False,
}
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}
SAY = {"type": "function", "function": {"name": "say", "parameters": SCHEMA}}
SING = {"type": "function", "function": {"name": "sing"}}


def ask(running, *args, **body):
    return running.ask(chat(*args, **body))[0]


def refused(running, *args, **body):
    with pytest.raises(ModelError) as caught:
        ask(running, *args, **body)
    return caught.value


def chunks_of(running, call):
    """The chunks of a stream, parsed; the last event has to be [DONE]."""

    async def streamed():
        async with running.models() as models:
            return [data_of(event) async for event in models.stream(call)]

    *events, done = asyncio.run(streamed())
    assert done == b"[DONE]"
    return [json.loads(event) for event in events]


def text_of(chunks, index=0):
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["index"] == index
    )


# -- what is written ----------------------------------------------------------------------------------------


def test_greedy_answers_are_those_of_transformers(running, tiny):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)
    answer = ask(running, "Hello", temperature=0)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        written = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert said(answer) == tokenizer.decode(written, skip_special_tokens=True)
    assert answer.model == answer.body["model"] == "tiny"
    usage = {"prompt_tokens": prompt["input_ids"].shape[1], "completion_tokens": len(written)}
    assert answer.body["usage"] == {**usage, "total_tokens": sum(usage.values())}


def test_a_seed_says_the_same_alone_and_in_company(running):
    alone = [ask(running, f"Hello {number}", seed=number) for number in range(3)]
    together = running.ask(*(chat(f"Hello {number}", seed=number) for number in range(20)))
    assert [said(answer) for answer in together[:3]] == [said(answer) for answer in alone]


def test_without_a_seed_and_with_another_one_the_answer_is_another(running):
    answers = running.ask(chat(), chat(), chat(seed=1), chat(seed=2))
    assert len({said(answer) for answer in answers}) == 4


def test_n_choices_differ_and_count_their_prompt_once(running):
    body = ask(running, n=3, seed=5).body
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in body["choices"]}) == 3
    assert body["usage"]["completion_tokens"] <= 3 * 24
    assert body["usage"]["prompt_tokens"] == ask(running).body["usage"]["prompt_tokens"]


def test_top_p_of_nothing_is_the_likeliest_token(running):
    assert said(ask(running, top_p=0)) == said(ask(running, temperature=0))


def test_the_limit_ends_an_answer(running):
    body = ask(running, max_tokens=3, temperature=0).body
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 3)


def test_the_context_ends_an_answer_whose_limit_is_larger(running):
    body = ask(running, max_tokens=4096, temperature=0, logprobs=True).body
    assert body["usage"]["total_tokens"] <= 512
    reason = "length" if body["usage"]["total_tokens"] == 512 else "stop"
    assert body["choices"][0]["finish_reason"] == reason


def test_a_stop_string_ends_an_answer_before_itself(running):
    whole = said(ask(running, temperature=0))
    stop = whole[5:8]
    body = ask(running, temperature=0, stop=["never to be seen", stop]).body
    assert body["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"


# -- streams ------------------------------------------------------------------------------------------------


def test_a_stream_says_what_a_whole_answer_says(running):
    options = {"seed": 3, "n": 2, "stop": "e", "logprobs": True}
    whole = ask(running, **options).body
    chunks = chunks_of(running, chat(**options, stream=True, stream_options={"include_usage": True}))
    for choice in whole["choices"]:
        assert text_of(chunks, choice["index"]) == choice["message"]["content"]
        parts = [each for chunk in chunks for each in chunk["choices"] if each["index"] == choice["index"]]
        assert parts[0]["delta"]["role"] == "assistant"
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [choice["finish_reason"]]
        logprobs = [each for part in parts if part["logprobs"] for each in part["logprobs"]["content"]]
        assert [each["token"] for each in logprobs] == [each["token"] for each in choice["logprobs"]["content"]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]


def test_a_stream_of_a_call_has_no_text(running):
    chunks = chunks_of(running, chat(tools=[SAY], tool_choice="required", max_tokens=200, seed=1, stream=True))
    (call,) = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert call["function"]["name"] == "say"
    assert text_of(chunks) == ""
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


# -- logprobs -----------------------------------------------------------------------------------------------


def test_logprobs_are_those_of_the_model(running, tiny):
    body = ask(running, temperature=0, logprobs=True, top_logprobs=3).body
    content = body["choices"][0]["logprobs"]["content"]
    assert len(content) == body["usage"]["completion_tokens"]
    for token in content:
        assert token["logprob"] == token["top_logprobs"][0]["logprob"]
        assert sum(math.exp(each["logprob"]) for each in token["top_logprobs"]) <= 1.0001
    spelled = b"".join(bytes(token["bytes"]) for token in content)
    assert spelled.decode("utf-8", "replace") == said(ask(running, temperature=0))


# -- schemas and tools --------------------------------------------------------------------------------------


def test_every_answer_fits_its_schema(running):
    body = ask(running, n=12, max_tokens=120, response_format=BY_SCHEMA).body
    for choice in body["choices"]:
        jsonschema_rs.validate(SCHEMA, json.loads(choice["message"]["content"]))
        assert choice["finish_reason"] == "stop"


def test_json_objects_are_objects(running):
    for choice in ask(running, n=8, max_tokens=400, response_format={"type": "json_object"}).body["choices"]:
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
        else:
            assert choice["message"]["content"].lstrip().startswith("{")


def test_a_schema_that_cannot_be_enforced_is_refused(running):
    schema = {"type": "object", "properties": {"a": {"$ref": "https://example.com/elsewhere.json"}}}
    error = refused(
        running, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    )
    assert (error.status, error.code, error.param) == (400, "invalid_json_schema", "response_format")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "say"}}])
def test_a_tool_that_has_to_be_called_is_called_as_its_schema_says(running, choice):
    tools = [SAY] if choice == "required" else [SING, SAY]
    body = ask(running, tools=tools, tool_choice=choice, max_tokens=200, n=12).body
    for each in body["choices"]:
        (call,) = each["message"]["tool_calls"]
        assert (call["type"], call["function"]["name"]) == ("function", "say")
        jsonschema_rs.validate(SCHEMA, json.loads(call["function"]["arguments"]))
        assert (each["finish_reason"], each["message"]["content"]) == ("tool_calls", None)


def test_conversations_with_tools_are_read(running):
    call = {"id": "c1", "type": "function", "function": {"name": "say", "arguments": '{"label": "yes"}'}}
    talk = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    short = ask(running, talk[:2]).body["usage"]["prompt_tokens"]
    assert ask(running, talk, tools=[SAY]).body["usage"]["prompt_tokens"] > short
    assert (
        ask(running, talk, tools=[SAY], tool_choice="none").body["choices"][0]["message"].get("tool_calls") is None
    )


# -- what it refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"frequency_penalty": 1}, "unsupported_parameter", "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "unsupported_parameter", "logit_bias"),
        ({"temprature": 1}, "unknown_parameter", "temprature"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tools": [{"type": "mcp"}]}, "invalid_value", "tools[0]"),
        ({"model": "plain", "tools": [SAY]}, "invalid_value", "tools"),
        ({"model": "gone"}, "model_not_found", "model"),
    ],
)
def test_what_it_cannot_do_it_says(running, body, code, param):
    error = refused(running, **body)
    assert (error.status, error.code, error.param) == (400, code, param)


def test_messages_that_are_too_long_are_refused_as_openai_words_it(running):
    error = refused(running, "Hello " * 600)
    assert error.code == "context_length_exceeded"
    assert "This model's maximum context length is 512 tokens. However, your messages resulted in" in error.message


def test_images_are_refused_by_their_place(running):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    error = refused(running, [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}])
    assert error.param == "messages[0].content[1]"


def test_a_template_says_which_messages_it_does_not_take(running):
    assert "Only system, user, assistant and tool" in refused(running, [{"role": "critic", "content": "x"}]).message


def test_a_model_without_a_template_continues_one_message(running):
    assert said(ask(running, "The quick", model="bare", temperature=0))
    two = [{"role": "user", "content": "The quick"}, {"role": "assistant", "content": "brown"}]
    assert "no chat template" in refused(running, two, model="bare").message
    assert "no chat template" in refused(running, model="bare", tools=[SAY]).message


# -- who leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_nobody_waits_for_is_not_written_on(running, stream):
    async def left():
        async with running.models() as models:
            call = chat(max_tokens=480, temperature=0, n=100, stream=stream)
            if stream:
                events = models.stream(call)
                await anext(events)
                await events.aclose()
            else:
                task = asyncio.create_task(models.ask(call))
                await asyncio.sleep(0.5)
                task.cancel()
            for _ in range(400):
                if not any(model["users"] for model in await asyncio.to_thread(lambda: running.status()["models"])):
                    return True
                await asyncio.sleep(0.01)
            return False

    assert asyncio.run(left())
    assert said(ask(running, max_tokens=4))
