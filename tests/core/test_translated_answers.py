"""Answers of chat completions and of the responses API in each other's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from core.chats import calls, spoken, words
from regrade.core.errors import ModelError
from regrade.core.translation import chat_answer_to_responses, responses_answer_to_chat


def answer(message=None, finish_reason="stop", **fields):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m-1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **(message or {})}, "finish_reason": finish_reason}
        ],
        **fields,
    }


def response(*output, **fields):
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "model": "m-1",
        "status": "completed",
        "output": list(output),
        **fields,
    }


def test_a_completion_is_a_response_that_echoes_its_request():
    request = {
        "input": "Hi",
        "instructions": "Be brief.",
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "max_output_tokens": 9,
    }
    translated = chat_answer_to_responses(
        answer(
            {"content": "Hello"},
            usage={"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
        ),
        request,
    )
    read = Response.model_validate(translated)
    assert read.output_text == "Hello"
    assert (read.id, read.model, read.created_at, read.status) == ("resp_1", "m-1", 5, "completed")
    assert (read.instructions, read.temperature, read.max_output_tokens, read.metadata) == (
        "Be brief.",
        0.5,
        9,
        {"a": "b"},
    )
    assert (read.usage.input_tokens, read.usage.output_tokens, read.usage.total_tokens) == (3, 2, 5)
    assert read.usage.input_tokens_details.cached_tokens == 1


def test_thoughts_words_and_calls_are_items_in_this_order():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    translated = chat_answer_to_responses(
        answer({"content": "Hi", "reasoning_content": "Hm", "tool_calls": [call]}, "tool_calls"),
        {},
        response_id="resp_x",
    )
    assert translated["output"] == [
        {
            "type": "reasoning",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
            "id": "rs_x_0",
            "status": "completed",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
            "id": "msg_x_1",
            "status": "completed",
        },
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
            "id": "fc_x_2",
            "status": "completed",
        },
    ]


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_is_incomplete_in_both_apis(finish_reason, reason):
    translated = chat_answer_to_responses(answer({"content": "Hel"}, finish_reason), {})
    assert (translated["status"], translated["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert translated["output"][-1]["status"] == "incomplete"
    assert responses_answer_to_chat(translated)["choices"][0]["finish_reason"] == finish_reason


def test_items_of_other_tools_have_no_place_in_a_completion():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    citation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi", "annotations": [citation]}],
    }
    message = responses_answer_to_chat(response(search, said))["choices"][0]["message"]
    del citation["type"]
    assert message["content"] == "Hi"
    assert message["annotations"] == [{"type": "url_citation", "url_citation": citation}]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "It broke."}}, "It broke."),
        ({"status": "cancelled"}, "'cancelled'"),
    ],
)
def test_a_response_that_failed_is_an_error_in_its_own_words(failure, words):
    with pytest.raises(ModelError, match=words):
        responses_answer_to_chat(response(**failure))


def test_an_answer_of_another_shape_is_an_error_of_the_endpoint():
    with pytest.raises(ModelError, match="not what chat completions answer"):
        chat_answer_to_responses(answer({"content": "Hi", "tool_calls": [5]}), {})
    with pytest.raises(ModelError, match="not what the responses API answers"):
        responses_answer_to_chat(
            response({"type": "message", "content": [{"type": "output_text", "text": "", "annotations": 5}]})
        )


messages = st.builds(
    lambda content, refusal, called, thought: {
        "role": "assistant",
        "content": content,
        "refusal": refusal,
        "annotations": [],
        **({"tool_calls": called} if called else {}),
        **({"reasoning_content": thought} if thought else {}),
    },
    st.none() | spoken,
    st.none() | spoken,
    st.just([]) | calls,
    words,
)


@given(messages, st.sampled_from(["stop", "length", "content_filter"]))
def test_a_completion_survives_the_way_to_a_response_and_back(message, finish_reason):
    if message.get("tool_calls") and finish_reason == "stop":
        finish_reason = "tool_calls"
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    completion = answer(message, finish_reason, usage=usage)
    completion["choices"][0]["logprobs"] = None
    translated = chat_answer_to_responses(completion, {})
    Response.model_validate(translated)
    back = responses_answer_to_chat(translated)
    ChatCompletion.model_validate(back)
    assert back == {**completion, "service_tier": "auto"}
