"""Requests for chat completions and to the responses API in each other's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chats import calls, spoken, words
from regrade.core.errors import InvalidError
from regrade.core.translation import chat_request_to_responses, responses_request_to_chat

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
IMAGE = "data:image/png;base64,AAAA"


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
