"""Calls as others record them become what this server would have stored."""

import json

import pytest

from regrade.core.errors import RowError
from regrade.core.recorded_calls import recorded_call

MESSAGES = [{"role": "user", "content": "2+2?"}]
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-2024",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_000.5,
    "model": "gpt-4o-2024",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}],
}
REQUEST = {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0.5}


@pytest.mark.parametrize(
    "line",
    [
        {"request": REQUEST, "response": COMPLETION},
        {"request": {"body": REQUEST}, "response": {"status_code": 200, "body": COMPLETION}},
        {"request": json.dumps(REQUEST), "response": json.dumps(COMPLETION)},
        {"request": {"model": "gpt-4o", "input": "2+2?", "temperature": 0.5}, "response": COMPLETION},
        {**COMPLETION, "messages": MESSAGES, "temperature": 0.5},
        {**COMPLETION, "input": MESSAGES, "temperature": 0.5},
    ],
)
def test_every_shape_of_a_chat_completion_is_the_same_call(line):
    call = recorded_call(line)
    assert (call.kind, call.id, call.created_at) == ("chat", "chatcmpl-1", 1_700_000_000)
    assert call.request["messages"] == MESSAGES
    assert call.request["temperature"] == 0.5
    assert call.answer["choices"] == COMPLETION["choices"]


@pytest.mark.parametrize(
    "line",
    [
        {"request": {"model": "gpt-4o", "input": "2+2?"}, "response": RESPONSE},
        {**RESPONSE, "input": "2+2?"},
        {"request": {"model": "gpt-4o", "messages": MESSAGES}, "response": RESPONSE},
    ],
)
def test_every_shape_of_a_response_is_the_same_call(line):
    call = recorded_call(line)
    assert (call.kind, call.id, call.created_at) == ("response", "resp_1", 1_700_000_000)
    assert call.request["input"] in ("2+2?", [{"type": "message", **MESSAGES[0]}])
    assert call.answer["output"] == RESPONSE["output"]


def test_messages_that_end_with_the_assistants_are_a_call():
    line = {"messages": [*MESSAGES, {"role": "assistant", "content": "4"}], "model": "m", "metadata": {"a": 1}}
    call = recorded_call(line)
    assert call.request["messages"] == MESSAGES
    assert call.answer["choices"][0]["message"]["content"] == "4"
    assert call.metadata == {"a": "1"}
    assert call.id == recorded_call(line).id
    assert call.id != recorded_call({**line, "model": "n"}).id


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], "no JSON object"),
        ({}, "neither"),
        ({"messages": MESSAGES}, "neither"),
        ({"response": COMPLETION}, "'request'"),
        ({"request": "text", "response": COMPLETION}, "'request'"),
        ({"request": REQUEST, "response": "text"}, "'response'"),
        ({"request": REQUEST, "response": {"status_code": 429, "body": {}}}, "429"),
        ({"request": REQUEST, "response": {"error": {"message": "no"}}}, "error"),
        ({"request": REQUEST, "response": {"choices": [{}]}}, "neither a chat completion"),
        ({"request": {"model": "m"}, "response": COMPLETION}, "what was asked"),
        ({"request": {"model": "m"}, "response": RESPONSE}, "what was asked"),
        ({**COMPLETION, "messages": MESSAGES, "metadata": {"k" * 65: "v"}}, "64 characters"),
        ({**COMPLETION, "messages": MESSAGES, "id": "c" * 256}, "256 characters"),
        ({**COMPLETION, "messages": MESSAGES, "created": 10**30}, "no Unix time"),
        ({**COMPLETION, "messages": MESSAGES, "created": 1_700_000_000_000}, "no Unix time"),
    ],
)
def test_what_is_no_call_says_why(line, words):
    with pytest.raises(RowError, match=words):
        recorded_call(line)
