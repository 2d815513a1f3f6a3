"""Answers just given, as templates see them and as output items show them."""

import pytest

from regrade.core.samples import answered, namespace, sample_of_chat, sample_of_response
from regrade.core.templates import compile_template
from regrade.core.translation import chat_answer_to_responses, chat_request_to_responses

IMAGE = "https://x/y.png"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": IMAGE}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ],
    "tools": TOOLS,
    "temperature": 0.5,
    "seed": 7,
    "max_completion_tokens": 9,
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "m-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": '{"x": [1]}', "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}


def both():
    request = chat_request_to_responses(CHAT)
    return {
        "chat": sample_of_chat(CHAT, ANSWER),
        "responses": sample_of_response(request, chat_answer_to_responses(ANSWER, request)),
    }


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{sample.output_text}}", '{"x": [1]}'),
        ("{{sample.output_json.x[0]}}", "1"),
        ("{{sample.output_tools[0].function.arguments.a}}", "1"),
        ("{{sample.choices[0].message.content}}", '{"x": [1]}'),
        ("{{sample.choices[0].message.tool_calls[0].id}}", "c1"),
        ("{{sample.model}}", "m-2026"),
        ("{{sample.input_tools[0].type}}", "function"),
        ("{{sample.output_audio}}{{sample.output_reasoning_summary}}", ""),
    ],
)
def test_templates_find_the_same_in_the_answers_of_both_apis(api, template, text):
    assert compile_template(template).render({}, namespace(both()[api])) == text


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_output_item_shows_what_was_asked_and_answered(api):
    shown = answered(both()[api])
    nothing = {"tool_call_id": None, "tool_calls": None, "function_call": None}
    assert shown["input"] == [
        {"role": "system", "content": "Be brief.", **nothing},
        {"role": "user", "content": f"See <image>{IMAGE}</image>", **nothing},
        {"role": "assistant", "content": "", **nothing, "tool_calls": [CALL]},
        {"role": "tool", "content": "5", **nothing, "tool_call_id": "c1"},
    ]
    assert shown["output"] == [{"role": "assistant", "content": '{"x": [1]}', "tool_calls": [CALL]}]
    assert shown["model"] == "m-2026"
    assert shown["usage"] == {"total_tokens": 5, "completion_tokens": 2, "prompt_tokens": 3, "cached_tokens": 1}
    assert (shown["temperature"], shown["top_p"], shown["seed"]) == (0.5, None, 7)
    assert shown["max_completion_tokens"] == shown["max_completions_tokens"] == 9


def test_parameters_that_were_not_asked_are_unknown_whatever_the_endpoint_echoes():
    shown = answered(sample_of_response({"input": "Hi"}, {"output": [], "temperature": 1.0, "top_p": 1.0}))
    assert (shown["temperature"], shown["top_p"], shown["max_completion_tokens"]) == (None, None, None)


def test_instructions_come_first_and_unheard_of_items_are_shown_as_they_are():
    search = {"type": "web_search_call", "id": "ws_1"}
    request = {
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Hi"}, {"type": "reasoning"}, search],
    }
    shown = answered(sample_of_response(request, {"output": [search]}))
    assert [(message["role"], message["content"]) for message in shown["input"]] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("web_search_call", '{"type":"web_search_call","id":"ws_1"}'),
    ]
    assert shown["output"] == [{"role": "assistant", "content": "", "tool_calls": [search]}]


def test_a_refusal_is_shown_in_both_apis():
    refused = {
        **ANSWER,
        "choices": [{"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}],
    }
    shown = [
        answered(sample_of_chat(CHAT, refused))["output"],
        answered(sample_of_response({}, chat_answer_to_responses(refused, {})))["output"],
    ]
    assert shown == [[{"role": "assistant", "content": "", "refusal": "No."}]] * 2


def test_the_answer_itself_is_left_as_it_was():
    before = {**ANSWER}
    namespace(sample_of_chat(CHAT, ANSWER))["output_json"]
    assert before == ANSWER
