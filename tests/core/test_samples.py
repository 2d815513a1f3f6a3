"""Recorded answers: whatever their shape, templates and output items see the same in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from regrade.core.errors import RowError
from regrade.core.samples import answered, namespace

CALL = {"id": "call_1", "type": "function", "function": {"name": "quote", "arguments": '{"symbol": "A"}'}}
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1},
}
KEYS = [
    "input",
    "output",
    "finish_reason",
    "model",
    "usage",
    "error",
    "temperature",
    "max_completion_tokens",
    "max_completions_tokens",
    "top_p",
    "seed",
]


def completion(content="Hi", **message):
    """As ChatCompletion.model_dump() writes it, nulls and all."""
    return ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-1",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": content, **message},
                }
            ],
            "usage": USAGE,
        }
    ).model_dump()


def response(*output, **fields):
    return Response.model_validate(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": "m-1",
            "output": list(output),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 3,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 5,
            },
            **fields,
        }
    ).model_dump()


def said(*texts):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []} for text in texts],
    }


SHAPES = {
    "a dumped chat completion": completion(),
    "model and choices": {"model": "m-1", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]},
    "content in parts": {"choices": [{"message": {"content": [{"type": "text", "text": "Hi"}]}}]},
    "a dumped response": response(said("H", "i")),
    "an output_text": {"output_text": "Hi"},
    "the sample of an output item": {
        "input": [],
        "output": [{"role": "assistant", "content": "Hi"}],
        "model": "m-1",
    },
    "a mere string": "Hi",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_text_of_every_shape_is_found(shape):
    assert namespace(SHAPES[shape])["output_text"] == "Hi"
    assert namespace(SHAPES[shape])["output_tools"] == []
    assert answered(SHAPES[shape])["output"][0]["content"] == "Hi"
    assert answered(SHAPES[shape])["output"][0]["role"] == "assistant"


@pytest.mark.parametrize("recorded", [completion(), response(said("Hi"))])
def test_model_usage_and_finish_reason_are_copied_from_the_recording(recorded):
    sample = answered(recorded)
    assert list(sample) == KEYS
    assert sample["model"] == "m-1"
    assert sample["finish_reason"] == "stop"
    assert sample["usage"] == {"total_tokens": 5, "completion_tokens": 2, "prompt_tokens": 3, "cached_tokens": 1}
    assert sample["error"] is None


def test_tool_calls_have_chat_form_in_both_apis():
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", **CALL["function"], "status": "completed"}
    for recorded in (completion(None, tool_calls=[CALL]), response(call)):
        assert namespace(recorded)["output_tools"] == [CALL]
        assert namespace(recorded)["output_text"] == ""
        assert answered(recorded)["output"] == [{"role": "assistant", "content": "", "tool_calls": [CALL]}]


def test_calls_of_other_tools_are_kept_as_they_are():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"}
    sample = namespace({"output": [search, custom]})
    assert sample["output_tools"] == [
        search,
        {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
    ]


def test_reasoning_summaries_tools_and_audio_can_be_named():
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I think"}]}
    tools = [{"type": "web_search"}]
    sample = namespace({"output": [thought], "tools": tools})
    assert sample["output_reasoning_summary"] == "I think"
    assert sample["input_tools"] == tools
    audio = {"data": "UklG", "transcript": "Hi"}
    assert namespace({"choices": [{"message": {"audio": audio}}]})["output_audio"] == audio
    assert namespace(completion())["output_reasoning_summary"] is None


@pytest.mark.parametrize(("text", "value"), [('{"a": [1]}', {"a": [1]}), (" [1] ", [1])])
def test_output_json_is_the_text_where_it_is_an_object_or_array(text, value):
    assert namespace(completion(text))["output_json"] == value


@pytest.mark.parametrize("text", ["5", '"x"', "null", "true", "{", "", "Hi", "[NaN]"])
def test_other_texts_have_no_output_json(text):
    with pytest.raises(KeyError):
        namespace(completion(text))["output_json"]


def test_a_given_output_json_is_kept_unless_it_is_null():
    assert namespace({"output_text": "{}", "output_json": {"given": 1}})["output_json"] == {"given": 1}
    assert namespace({"output_text": "[]", "output_json": None})["output_json"] == []


def test_unknown_keys_can_be_named_too():
    assert namespace({**completion(), "trace_id": "t"})["trace_id"] == "t"


def test_a_row_without_a_recording_has_an_empty_sample():
    assert namespace(None) == {}
    sample = answered(None)
    assert list(sample) == KEYS
    assert sample["output"] == []
    assert sample["usage"] == {"total_tokens": 0, "completion_tokens": 0, "prompt_tokens": 0, "cached_tokens": 0}


def test_a_truncated_response_was_stopped_by_length():
    cut = response(said("Hi"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert answered(cut)["finish_reason"] == "length"


def test_a_recorded_failure_is_shown():
    failed = {"error": {"code": "server_error", "message": "It broke."}, "output": []}
    assert answered(failed)["error"] == {"code": "server_error", "message": "It broke."}


def test_a_sample_that_is_neither_object_nor_string_cannot_be_graded():
    with pytest.raises(RowError, match="neither an object nor a string"):
        namespace(5)


def test_the_recording_itself_is_left_as_it_was():
    recorded = {"output_text": "{}"}
    assert namespace(recorded)["output_json"] == {}
    answered(recorded)
    assert recorded == {"output_text": "{}"}


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "output",
                    "type",
                    "text",
                    "usage",
                    "model",
                    "tool_calls",
                    "summary",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "choices", "output_text", "output_tools", "tools"]), odd))
def test_no_recording_breaks_the_reader(recorded):
    sample = namespace(recorded)
    assert isinstance(sample["output_tools"], list)
    shown = answered(recorded)
    assert list(shown) == KEYS
    assert all(isinstance(message["content"], str) for message in shown["output"])
    assert all(type(count) is int for count in shown["usage"].values())
