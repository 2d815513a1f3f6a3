"""Requests and answers of chat completions and the responses API in each other's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from regrade.core.errors import InvalidError, ModelError
from regrade.core.translation import (
    chat_answer_to_responses,
    chat_request_to_responses,
    responses_answer_to_chat,
    responses_request_to_chat,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
IMAGE = "data:image/png;base64,AAAA"


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


# -- requests, responses to chat ----------------------------------------------------------------------------


def test_a_text_with_instructions_becomes_two_messages():
    assert responses_request_to_chat({"model": "m", "input": "Hi", "instructions": "Be brief."}) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


def test_parameters_take_the_names_of_chat_completions():
    chat = responses_request_to_chat(
        {
            "input": "Hi",
            "max_output_tokens": 9,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
                "verbosity": "low",
            },
            "temperature": 0.5,
            "top_p": None,
            "metadata": {"a": "b"},
            "include": ["message.output_text.logprobs"],
            "store": True,
            "truncation": "auto",
            "stream": True,
            "top_k": 3,
        }
    )
    del chat["messages"]
    assert chat == {
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        "verbosity": "low",
        "temperature": 0.5,
        "metadata": {"a": "b"},
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_k": 3,
    }


def test_calls_and_their_outputs_become_messages_in_the_order_that_chat_demands():
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a.txt"}]},
    ]
    assert responses_request_to_chat({"input": items})["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "a.txt"},
    ]


def test_images_sounds_and_files_are_carried_over():
    content = [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": IMAGE, "detail": "low", "file_id": None},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
    ]
    chat = [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
    ]
    message = {"type": "message", "role": "user", "content": content}
    assert responses_request_to_chat({"input": [message]})["messages"] == [{"role": "user", "content": chat}]
    back = chat_request_to_responses({"messages": [{"role": "user", "content": chat}]})["input"]
    del content[1]["file_id"]
    assert back == [message]


def test_where_a_cache_ends_is_told_to_the_responses_api_alone():
    part = {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert chat_request_to_responses({"messages": [{"role": "user", "content": [part]}]})["input"][0][
        "content"
    ] == [part]
    assert (
        responses_request_to_chat({"input": [{"role": "user", "content": [part]}]})["messages"][0]["content"]
        == "Hi"
    )


def test_a_developer_is_the_system_to_a_plain_endpoint_and_a_refusal_is_remembered():
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "phase": "final_answer"},
    ]
    assert responses_request_to_chat({"input": items})["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]},
            "input[0].content",
        ),
        ({"input": [{"role": "user", "content": [{"type": "hologram"}]}]}, "input[0].content"),
    ],
)
def test_what_chat_completions_have_no_form_for_is_refused_by_its_path(body, param):
    with pytest.raises(InvalidError) as caught:
        responses_request_to_chat(body)
    assert caught.value.param == param


def test_the_kind_of_a_refused_tool_is_named():
    with pytest.raises(InvalidError, match="'code_interpreter'"):
        responses_request_to_chat({"tools": [{"type": "code_interpreter"}]})


# -- requests, chat to responses ----------------------------------------------------------------------------


def test_parameters_take_the_names_of_the_responses_api():
    request = chat_request_to_responses(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 9,
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            "logprobs": True,
            "top_logprobs": 2,
            "n": 1,
            "stop": None,
            "presence_penalty": 0,
            "stream_options": {"include_usage": True},
            "stream": True,
            "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Rome"}}},
        }
    )
    assert request == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "stream": True,
        "tools": [{"type": "web_search", "user_location": {"type": "approximate", "city": "Rome"}}],
        "store": False,
    }


def test_functions_of_old_are_tools():
    request = chat_request_to_responses(
        {
            "messages": [
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "5"},
            ],
            "functions": [{"name": "f", "parameters": SCHEMA}],
            "function_call": {"name": "f"},
        }
    )
    assert request["tools"] == [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}]
    assert request["tool_choice"] == {"type": "function", "name": "f"}
    assert request["input"] == [
        {"type": "function_call", "call_id": "call_f", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_f", "output": "5"},
    ]


@pytest.mark.parametrize("field", ["stop", "logit_bias", "audio", "presence_penalty", "n"])
def test_what_the_responses_api_cannot_be_asked_is_refused(field):
    with pytest.raises(InvalidError) as caught:
        chat_request_to_responses({"messages": [], field: 2})
    assert caught.value.param == field


@pytest.mark.parametrize(
    "body",
    [{"input": 5}, {"input": "Hi", "tools": 5}, {"input": ["Hi"]}, {"input": [{"role": "user", "content": [5]}]}],
)
def test_a_request_of_another_shape_is_invalid_and_no_failure_of_ours(body):
    with pytest.raises(InvalidError):
        responses_request_to_chat(body)


words = st.text(st.characters(codec="utf-8"), max_size=8)
spoken = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
parts = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, words),
        st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}, words),
        st.builds(lambda data: {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}, words),
        st.builds(lambda data: {"type": "file", "file": {"file_data": data, "filename": "a"}}, words),
    ),
    min_size=2,
    max_size=3,
)
calls = st.lists(
    st.one_of(
        st.builds(
            lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
            words,
            words,
        ),
        st.builds(lambda name, text: {"type": "custom", "custom": {"name": name, "input": text}}, words, words),
    ),
    min_size=1,
    max_size=3,
).map(lambda found: [{"id": f"call_{index}", **call} for index, call in enumerate(found)])
turns = st.one_of(
    st.builds(lambda content: [{"role": "user", "content": content}], words | parts),
    st.builds(
        lambda content, said: [{"role": "user", "content": content}, {"role": "assistant", "content": said}],
        words,
        spoken,
    ),
    st.builds(
        lambda content, said, called: [
            {"role": "user", "content": content},
            {"role": "assistant", "content": said, "tool_calls": called},
            *({"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in called),
        ],
        words,
        st.none() | spoken,
        calls,
    ),
)
functions = st.builds(
    lambda name, strict: {
        "type": "function",
        "function": {"name": name, "parameters": SCHEMA, **({"strict": True} if strict else {})},
    },
    spoken,
    st.booleans(),
)
grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
customs = st.builds(
    lambda name, form: {"type": "custom", "custom": {"name": name, "format": form}},
    spoken,
    st.sampled_from([{"type": "text"}, grammar]),
)
choices = st.sampled_from(
    [
        "auto",
        "none",
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "f"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
    ]
)
requests = st.fixed_dictionaries(
    {
        "messages": st.lists(turns, min_size=1, max_size=3).map(
            lambda found: [message for turn in found for message in turn]
        ),
        "tools": st.lists(functions | customs, min_size=1, max_size=3),
    },
    optional={
        "tool_choice": choices,
        "parallel_tool_calls": st.booleans(),
        "max_completion_tokens": st.integers(1, 9),
        "temperature": st.floats(0, 2),
        "seed": st.integers(0, 9),
        "reasoning_effort": st.sampled_from(["none", "high"]),
        "verbosity": st.just("low"),
        "metadata": st.dictionaries(words, words, max_size=2),
        "response_format": st.sampled_from(
            [
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
            ]
        ),
    },
)


@given(requests)
def test_a_chat_request_survives_the_way_to_the_responses_api_and_back(request):
    assert responses_request_to_chat(chat_request_to_responses(request)) == request


# -- answers ------------------------------------------------------------------------------------------------


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
