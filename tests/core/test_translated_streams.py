"""Streams of both APIs in each other's words, judged by the real SDK over a socket."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from regrade.core.errors import ModelError
from regrade.core.translation import (
    ChatToResponsesStream,
    ResponsesToChatStream,
    chat_answer_to_responses,
    responses_answer_to_chat,
)

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m-1"}
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
EVENTS = TypeAdapter(ResponseStreamEvent)


class Replay:
    """Answers every POST with the lines that it was last told to."""

    def __init__(self):
        self.events = []
        replay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                lines = [f"data: {json.dumps(event)}\n\n" for event in replay.events]
                body = "".join([*lines, "data: [DONE]\n\n"]).encode()
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self._server.server_port}/v1", api_key="k")

    def close(self):
        self.client.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def response(self, events):
        """What `client.responses.stream()` makes of these events."""
        self.events = events
        with self.client.responses.stream(model="m", input="Hi") as stream:
            return stream.get_final_response()

    def completion(self, chunks):
        """What `client.chat.completions.stream()` makes of these chunks."""
        self.events = chunks
        with self.client.chat.completions.stream(model="m", messages=[]) as stream:
            return stream.get_final_completion()


@pytest.fixture(scope="module")
def replay():
    replay = Replay()
    yield replay
    replay.close()


def chunk(finish_reason=None, **delta):
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def call(index, **function):
    head = {"id": f"call_{index}", "type": "function"} if "name" in function else {}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def events_of(chunks, request=None, **options):
    stream = ChatToResponsesStream(request or {}, **options)
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return [*events, *stream.finish()], stream


HELLO = [
    chunk(role="assistant", content=""),
    chunk(content="Hel"),
    chunk(content="lo"),
    chunk("stop"),
    {**HEAD, "choices": [], "usage": USAGE},
]


def test_a_text_streams_as_the_events_that_the_api_promises():
    events, _ = events_of(HELLO)
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    for event in events:
        EVENTS.validate_python(event)


def test_the_sdk_reads_a_translated_stream(replay):
    events, stream = events_of(
        [
            chunk(content="Hi"),
            chunk(**call(0, name="f", arguments="")),
            chunk(**call(0, arguments="{}")),
            chunk("tool_calls"),
        ],
        {"metadata": {"a": "b"}},
        response_id="resp_7",
    )
    read = replay.response(events)
    assert read.id == "resp_7"
    assert read.output_text == "Hi"
    assert (read.output[1].name, read.output[1].arguments, read.output[1].call_id) == ("f", "{}", "call_0")
    assert read.metadata == {"a": "b"}
    assert read.to_dict()["output"][1]["id"] == stream.response["output"][1]["id"]


def test_parallel_calls_whose_pieces_alternate_stay_whole():
    pieces = [
        call(0, name="f", arguments="{"),
        call(1, name="g", arguments="["),
        call(0, arguments="}"),
        call(1, arguments="]"),
    ]
    _, stream = events_of([chunk(**piece) for piece in pieces])
    assert [(item["name"], item["arguments"]) for item in stream.response["output"]] == [("f", "{}"), ("g", "[]")]


def test_calls_without_an_index_are_told_apart_by_their_ids():
    deltas = [
        {"id": "a", "function": {"name": "f", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "b", "function": {"name": "g", "arguments": ""}},
    ]
    _, stream = events_of([chunk(tool_calls=[delta]) for delta in deltas])
    assert [(item["call_id"], item["arguments"]) for item in stream.response["output"]] == [("a", "{}"), ("b", "")]


def test_a_custom_tool_is_called_with_its_input():
    pieces = [
        {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}},
        {"index": 0, "custom": {"input": "ls"}},
    ]
    events, stream = events_of([chunk(tool_calls=[piece]) for piece in pieces])
    assert stream.response["output"] == [
        {"type": "custom_tool_call", "call_id": "c", "name": "sh", "input": "ls", "id": "ctc_1_0"}
    ]
    chat = ResponsesToChatStream()
    chunks = [chunk for event in events for chunk in chat.feed(event)]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["tool_calls"] for delta in deltas if "tool_calls" in delta] == [
        [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}}],
        [{"index": 0, "custom": {"input": "ls"}}],
    ]


def test_a_stream_that_breaks_off_has_failed_with_what_it_had():
    stream = ChatToResponsesStream({})
    events = stream.feed(HELLO[1])
    with pytest.raises(ModelError, match="overloaded") as caught:
        stream.feed({"error": {"message": "overloaded", "code": 529}})
    events += stream.fail(caught.value)
    assert (events[-1]["type"], stream.response["status"]) == ("response.failed", "failed")
    assert stream.response["output"][0]["content"][0]["text"] == "Hel"
    for event in events:
        EVENTS.validate_python(event)


def test_a_stream_of_nothing_is_an_empty_response(replay):
    events, _ = events_of([])
    assert replay.response(events).output == []


@pytest.mark.parametrize("garbage", [{"choices": [{"delta": {"tool_calls": [5]}}]}, {"choices": 5}, {"error": "x"}])
def test_chunks_of_another_shape_are_errors_of_the_endpoint(garbage):
    with pytest.raises(ModelError):
        ChatToResponsesStream({}).feed(garbage)


def test_usage_comes_in_a_chunk_of_its_own_where_it_is_asked_for(replay):
    events, _ = events_of(HELLO)
    stream = ResponsesToChatStream(include_usage=True)
    chunks = [chunk for event in events for chunk in stream.feed(event)]
    assert chunks[-1] == {**HEAD, "choices": [], "usage": USAGE}
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert replay.completion(chunks).choices[0].message.content == "Hello"
    assert stream.done
    assert stream.answer["choices"][0]["message"]["content"] == "Hello"


def test_endpoints_that_send_no_deltas_lose_nothing():
    said = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
    }
    called = {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"}
    response = {"id": "resp_1", "created_at": 5, "model": "m-1", "status": "completed", "output": [said, called]}
    stream = ResponsesToChatStream()
    chunks = []
    for event in [
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"},
        {"type": "response.output_item.done", "output_index": 1, "item": called},
        {"type": "response.completed", "response": response},
    ]:
        chunks += stream.feed({**event})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"content": "Hi"}
    assert deltas[2]["tool_calls"][0]["function"] == {"arguments": "{}"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "message": "It broke."},
        {
            "type": "response.failed",
            "response": {
                "id": "resp_1",
                "status": "failed",
                "error": {"code": "server_error", "message": "It broke."},
            },
        },
    ],
)
def test_a_failure_within_the_stream_is_an_error(event):
    with pytest.raises(ModelError, match="It broke"):
        ResponsesToChatStream().feed(event)


letters = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=5)
answers = st.fixed_dictionaries(
    {
        "thoughts": st.lists(letters, max_size=2),
        "texts": st.lists(letters, max_size=3),
        "refusals": st.lists(letters, max_size=2),
        "calls": st.lists(st.lists(letters, max_size=2), max_size=2),
        "finish_reason": st.sampled_from(["stop", "length", "content_filter"]),
    }
)


def whole(pieces):
    """The answer that these pieces are, had it not been streamed."""
    message = {"role": "assistant", "content": "".join(pieces["texts"])}
    message["refusal"] = "".join(pieces["refusals"]) or None
    if pieces["thoughts"]:
        message["reasoning_content"] = "".join(pieces["thoughts"])
    if pieces["calls"]:
        message["tool_calls"] = [
            {"id": f"call_{index}", "type": "function", "function": {"name": "f", "arguments": "".join(arguments)}}
            for index, arguments in enumerate(pieces["calls"])
        ]
    choice = {"index": 0, "message": message, "finish_reason": pieces["finish_reason"]}
    return {"id": "chatcmpl-1", "created": 5, "model": "m-1", "choices": [choice], "usage": USAGE}


def chunks_of(pieces):
    yield chunk(role="assistant", content="")
    yield from (chunk(reasoning_content=piece) for piece in pieces["thoughts"])
    yield from (chunk(content=piece) for piece in pieces["texts"])
    yield from (chunk(refusal=piece) for piece in pieces["refusals"])
    for index, arguments in enumerate(pieces["calls"]):
        yield chunk(**call(index, name="f", arguments=""))
        yield from (chunk(**call(index, arguments=piece)) for piece in arguments)
    yield chunk(pieces["finish_reason"])
    yield {**HEAD, "choices": [], "usage": USAGE}


@given(answers)
def test_a_stream_ends_in_the_response_that_a_plain_call_would_have_answered(pieces):
    events, stream = events_of(chunks_of(pieces), {"temperature": 0.5})
    assert stream.response == chat_answer_to_responses(whole(pieces), {"temperature": 0.5})
    assert events[-1]["response"] == stream.response
    for event in events:
        EVENTS.validate_python(event)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(answers)
def test_the_sdk_accumulates_what_was_said_after_the_way_there_and_back(replay, pieces):
    events, stream = events_of(chunks_of(pieces))
    if stream.response["status"] == "completed":
        assert replay.response(events).output_text == "".join(pieces["texts"])
    chat = ResponsesToChatStream()
    chunks = [chunk for event in events for chunk in chat.feed(event)]
    assert chat.answer == responses_answer_to_chat(stream.response)
    if pieces["finish_reason"] != "stop":  # else the SDK raises
        return
    read = replay.completion(chunks).choices[0]
    assert read.message.content == "".join(pieces["texts"])
    assert read.message.refusal == ("".join(pieces["refusals"]) or None)
    arguments = [call.function.arguments for call in read.message.tool_calls or []]
    assert arguments == ["".join(parts) for parts in pieces["calls"]]
    assert read.finish_reason == ("tool_calls" if pieces["calls"] else "stop")
