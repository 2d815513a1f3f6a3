"""Upstreams and clients that misbehave: errors keep the upstream's words, nothing half is stored or hangs on."""

import socket
import time
from urllib.parse import urlsplit

import openai
import pytest

HELLO = [{"role": "user", "content": "hello you all"}]


def ask(client, model, **more):
    return client.chat.completions.create(model=model, messages=HELLO, **more)


EITHER = [
    ("400", 400, "Told to answer 400."),
    ("404", 404, "Told to answer 404."),
    ("429", 429, "Told to answer 429."),
    ("500", 500, "Told to answer 500."),
    ("503", 503, "Told to answer 503."),
    ("quota", 429, "You exceeded your current quota."),
    ("key=k", 502, "Incorrect API key"),
    ("409", 502, "Told to answer 409."),
    ("307", 502, "Told to answer 307."),
    ("html", 502, "Welcome to nginx!"),
    ("drop", 502, "closed the connection"),
    ("no=seed", 400, "'seed' is not supported"),
]
WHOLE = [
    ("malformed", 502, "no answer of this API"),
    ("error200", 500, "Provider returned error"),
    ("cut", 502, "in the middle"),
]
"""Of answers that are not streamed; streams are cut further below."""


@pytest.mark.parametrize(
    ("fault", "status", "words", "stream"),
    [(*case, stream) for case in EITHER for stream in (False, True)] + [(*case, False) for case in WHOLE],
)
def test_an_upstreams_error_comes_back_in_its_words(client, fault, status, words, stream):
    with pytest.raises(openai.APIStatusError) as failed:
        ask(client, f"both/echo@{fault}", seed=1, stream=stream, store=True)
    assert failed.value.status_code == status
    assert words in failed.value.message


def test_an_error_tells_which_parameter_it_is_about(client):
    with pytest.raises(openai.BadRequestError) as failed:
        ask(client, "both/echo@no=seed", seed=1)
    assert (failed.value.param, failed.value.code) == ("seed", "unsupported_parameter")


@pytest.mark.parametrize("prefix", ["/v1", "/openai"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": HELLO}),
        ("chat/completions", {"messages": HELLO, "stream": True}),
        ("responses", {"input": "hi"}),
        ("responses", {"input": "hi", "stream": True}),
        ("embeddings", {"input": "hi"}),
    ],
)
def test_a_model_that_nobody_serves_is_not_found(http, prefix, path, body):
    answer = http.post(f"{prefix}/{path}", json={**body, "model": "gpt-4oo"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "gpt-4o" in error["message"]


def test_an_endpoint_that_is_not_there_is_an_error_at_once(client):
    with pytest.raises(openai.InternalServerError) as failed:
        ask(client, "nobody")
    assert failed.value.status_code == 502
    assert "cannot be reached" in failed.value.message


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"messages": HELLO}, "model"),
        ("chat/completions", {"model": 5, "messages": HELLO}, "model"),
        ("chat/completions", {"model": "", "messages": HELLO}, "model"),
        ("chat/completions", {"model": "both/echo"}, "messages"),
        ("chat/completions", {"model": "both/echo", "messages": []}, "messages"),
        ("chat/completions", {"model": "both/echo", "messages": "hi"}, "messages"),
        ("chat/completions", {"model": "both/echo", "messages": ["hi"]}, "messages[0]"),
        ("chat/completions", {"model": "both/echo", "messages": HELLO, "store": "yes"}, "store"),
        ("chat/completions", {"model": "both/echo", "messages": HELLO, "metadata": {"a": 1}}, "metadata"),
        ("chat/completions", {"model": "both/echo", "messages": HELLO, "tools": [1]}, "tools[0]"),
        ("chat/completions", {"model": "resp/echo", "messages": HELLO, "n": 2}, "n"),
        ("chat/completions", {"model": "resp/echo", "messages": HELLO, "stop": "x", "stream": True}, "stop"),
        ("responses", {"input": "hi"}, "model"),
        ("responses", {"model": "both/echo"}, "input"),
        ("responses", {"model": "both/echo", "input": 5}, "input"),
        ("responses", {"model": "both/echo", "input": ["hi"]}, "input[0]"),
        (
            "responses",
            {"model": "both/echo", "input": "x", "previous_response_id": "resp_x"},
            "previous_response_id",
        ),
        ("responses", {"model": "chat/echo", "input": "x", "tools": [{"type": "mcp"}]}, "tools[0].type"),
        (
            "responses",
            {"model": "chat/echo", "input": "x", "tools": [{"type": "mcp"}], "stream": True},
            "tools[0].type",
        ),
        ("embeddings", {"input": "hi"}, "model"),
        ("embeddings", {"model": "resp/echo", "input": "hi"}, None),
    ],
)
def test_a_request_that_cannot_be_asked_is_refused_with_its_field(http, path, body, param):
    answer = http.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("model", ["chat/echo", "resp/echo", "both/echo"])
@pytest.mark.parametrize("fault", ["cut", "reset", "malformed"])
def test_a_stream_of_chat_that_breaks_off_is_an_error_and_stores_nothing(client, model, fault):
    count = len(list(client.chat.completions.list(model=f"{model}@{fault}")))
    with pytest.raises((openai.APIError, ValueError)):
        for _ in ask(client, f"{model}@{fault}", stream=True, store=True):
            pass
    assert len(list(client.chat.completions.list(model=f"{model}@{fault}"))) == count == 0


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_a_stream_of_a_response_that_breaks_off_says_so(http, events, fault):
    for model in ("resp/echo", "chat/echo"):
        body = {"model": f"{model}@{fault}", "input": "hello you all", "stream": True}
        told = events(http.post("/v1/responses", json=body).text)
        name, last = told[-1]
        assert name in ("error", "response.failed")
        error = last["error"] if name == "error" else last["response"]["error"]
        assert "both" not in error["message"]
        assert "endpoint" in error["message"]
        created = told[0][1]["response"]["id"]
        assert http.get(f"/v1/responses/{created}").status_code == 404


def _hang_up(server, path, body, *, after=b""):
    """Send a request, wait for some of its answer, and close the connection."""
    import json

    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    )
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + data)
        heard = b""
        while after and after not in heard:
            heard += connection.recv(65536)
        if not after:
            time.sleep(0.2)


def _until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", {"messages": HELLO}), ("/v1/responses", {"input": "hi"})]
)
def test_when_a_client_leaves_so_does_the_request_to_the_upstream(server, up, path, body, stream):
    up.forget()
    _hang_up(server, path, {"model": "both/echo@hang", "stream": stream, **body})
    _until(lambda: up.state()["abandoned"] == 1)
    assert up.state()["in_flight"] == 0


def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_it(server, up, client):
    up.forget()
    body = {"model": "both/long=200000", "messages": HELLO, "stream": True, "store": True}
    _hang_up(server, "/v1/chat/completions", body, after=b"word10")
    _until(lambda: up.state()["in_flight"] == 0)
    assert up.state()["abandoned"] == 1
    assert not list(client.chat.completions.list(model="both/long=200000"))
    assert ask(client, "both/echo").choices[0].message.content == "hello you all"


def test_a_client_is_told_how_long_to_wait_and_when_to_give_up(http):
    body = {"messages": HELLO}
    limited = http.post("/v1/chat/completions", json={**body, "model": "both/echo@429=3"})
    assert limited.headers["retry-after"] == "3"
    assert limited.json()["error"]["type"] == "requests"
    locked = http.post("/v1/chat/completions", json={**body, "model": "both/echo@key=k"})
    assert (locked.status_code, locked.headers["x-should-retry"]) == (502, "false")
    passing = http.post("/v1/chat/completions", json={**body, "model": "both/echo@500"})
    assert "x-should-retry" not in passing.headers
