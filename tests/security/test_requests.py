"""Requests that no honest client sends, byte by byte: each gets an answer that says no, and none a fault."""

import asyncio
import json
import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import uvicorn

from regrade.api import protocol


def exchange(server, *lines, body=b""):
    """The status and the body that the server answers to these very lines."""
    address = urlsplit(server.url)
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
    with closing(socket.create_connection((address.hostname, address.port), 30)) as connection:
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


def own_host(server):
    return f"Host: {urlsplit(server.url).netloc}"


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1@evil.example",
        "[::1]evil.example",
        "[::1",
        "localhost:abc",
        "127.0.0.1:80:80",
        "localhost.",
        "::1",
    ],
)
def test_what_only_begins_like_a_loopback_name_is_none(server, host):
    assert exchange(server, "GET /v1/evals HTTP/1.1", f"Host: {host}")[0] == 403


@pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("evil.example", "localhost")])
def test_two_names_are_none(server, hosts):
    assert exchange(server, "GET /v1/evals HTTP/1.1", *(f"Host: {host}" for host in hosts))[0] == 403


@pytest.mark.parametrize(
    "origin", ["http://[::1", "http://[x]", "http://", "//", "http://a@{own}", "http://{own}@a"]
)
def test_an_origin_that_is_none_is_foreign(server, origin):
    own = urlsplit(server.url).netloc
    status, _ = exchange(server, "GET /v1/evals HTTP/1.1", own_host(server), "Origin: " + origin.format(own=own))
    assert status == 403


def test_an_absolute_target_does_not_choose_the_host(server):
    target = "http://localhost/v1/evals"
    assert exchange(server, f"GET {target} HTTP/1.1", "Host: evil.example")[0] == 403


@pytest.mark.parametrize("count", ["1" * 5000, "\xb2", "-1", "0" * 5000])
def test_a_strange_count_of_retries_is_no_fault(server, count):
    status, body = exchange(
        server,
        "POST /v1/evals HTTP/1.1",
        own_host(server),
        "Content-Type: application/json",
        "Content-Length: 2",
        f"x-stainless-retry-count: {count}",
        body=b"{}",
    )
    assert (status, json.loads(body)["error"]["code"]) == (400, "missing_required_parameter")


def test_a_websocket_is_served_as_plain_http(server):
    upgrade = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    assert exchange(server, "GET /v1/evals HTTP/1.1", own_host(server), *upgrade)[0] == 200
    assert exchange(server, "GET /v1/evals HTTP/1.1", "Host: evil.example", *upgrade)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "//v1/evals",
        "/V1/evals",
        "/v1/../v1/evals",
        "/health/../v1/evals",
        "/static/..%2frender.py",
        "/v1/openapi.json",
    ],
)
def test_no_spelling_of_a_path_leads_around(server, path):
    assert exchange(server, f"GET {path} HTTP/1.1", own_host(server))[0] == 404


CHUNKED = ["POST /v1/evals HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked"]
ENDLESS = {
    "target": (["GET /"], b"a"),
    "header": (["GET / HTTP/1.1", "X: "], b"a"),
    "headers": (["GET / HTTP/1.1", ""], b"X: a\r\n"),
    "extension": ([*CHUNKED, "", "1;"], b"a"),
    "trailer": ([*CHUNKED, "", "0", "X: "], b"a"),
}


def flooded(server, start, more):
    """What the server answers to a head that goes on and on; it may also just hang up."""
    address = urlsplit(server.url)
    megabyte = more * (1_000_000 // len(more))
    with closing(socket.create_connection((address.hostname, address.port), 30)) as connection:
        connection.sendall("\r\n".join(start).encode() + megabyte[:100_000])
        try:
            for _ in range(20):
                connection.sendall(megabyte)
            pytest.fail("the server still reads")
        except OSError:
            return True


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS)
def test_no_head_goes_on_for_ever(server, start, more):
    assert flooded(server, start, more)


def test_a_head_that_is_too_large_is_answered_so(server):
    assert exchange(server, "GET /v1/evals HTTP/1.1", own_host(server), "X: " + "a" * 60_000)[0] == 200
    address = urlsplit(server.url)
    with closing(socket.create_connection((address.hostname, address.port), 30)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


async def _half_a_head(monkeypatch, sent):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)

    async def app(scope, receive, send):
        raise AssertionError("no request was whole")

    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, http=protocol.BoundedHttp, lifespan="off", log_config=None)
    config.load()
    state = uvicorn.server.ServerState()
    listener = await loop.create_server(lambda: protocol.BoundedHttp(config, state, {}), "127.0.0.1", 0)
    async with listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_who_never_ends_a_head_is_left_alone(monkeypatch, sent):
    asyncio.run(_half_a_head(monkeypatch, sent))
