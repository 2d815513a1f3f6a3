"""What holds for every request: ids, limits, and who may speak to the server."""

import asyncio
import logging
import re
from dataclasses import fields

import httpx2
import pytest
from starlette.responses import Response
from starlette.routing import Route, Router

from regrade.api.app import AppOptions, Services, build_app
from regrade.api.edge import Edge, EdgeOptions
from regrade.core.metrics import Metrics
from regrade.system import SystemClock, SystemIds


@pytest.mark.parametrize(
    "path", ["/v1/evals", "/v1/evals/eval_0", "/v1/nothing", "/nothing", "/health", "/ready", "/openapi.json"]
)
def test_every_answer_has_an_id_of_its_own(http, path):
    first, second = http.get(path), http.get(path)
    assert re.fullmatch(r"req_[0-9a-f]{32}", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["openai-processing-ms"].isdecimal()
    assert first.headers["openai-version"] == "2020-10-01"


def test_azure_clients_find_the_id_under_their_name_too(http):
    headers = http.get("/openai/evals").headers
    assert headers["apim-request-id"] == headers["x-request-id"]
    assert "apim-request-id" not in http.get("/v1/evals").headers


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_without_keys_the_server_answers_to_loopback_names(http, host):
    assert http.get("/v1/evals", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[::2]:8000", ""])
@pytest.mark.parametrize("path", ["/v1/evals", "/health"])
def test_without_keys_the_server_answers_to_no_other_name(http, path, host):
    answer = http.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert "x-request-id" in answer.headers
    assert "regrade keys create" in answer.json()["error"]["message"]


def test_with_keys_the_server_answers_to_any_name(strict_http, keyed):
    headers = {"host": "evals.example.com", "api-key": keyed.red}
    assert strict_http.get("/v1/evals", headers=headers).status_code == 200


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_other_site_can_speak_to_the_api_through_a_browser(http, method, headers):
    answer = http.request(method, "/v1/evals", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_pages_can_speak_to_the_api(http, server):
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert http.get("/v1/evals", headers=headers).status_code == 200


def test_a_link_from_another_site_opens_a_page_but_sends_no_form(http):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert http.get("/health", headers=link).status_code == 200
    assert http.get("/health", headers={**link, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert http.post("/health", headers=link).status_code == 403


def test_a_body_over_the_limit_is_refused_before_it_is_read(strict_http, keyed):
    def endless():
        yield b"{"
        for _ in range(40):
            yield b" " * 10_000

    headers = {"api-key": keyed.red, "content-type": "application/json"}
    announced = strict_http.post("/v1/evals", content=b" " * 100_001, headers=headers)
    streamed = strict_http.post("/v1/evals", content=endless(), headers=headers)
    for answer in (announced, streamed):
        assert answer.status_code == 413
        assert "100000 bytes" in answer.json()["error"]["message"]
    assert strict_http.post("/v1/evals", content=b" " * 100_000, headers=headers).status_code == 400


def _fail(_request):
    raise RuntimeError("the disk is on fire")


async def _ask(app, path):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
        return await client.get(path)


def _edge(routes, **options):
    clock = SystemClock()
    ids = SystemIds(clock)
    return Edge(
        Router(routes),
        EdgeOptions(**options),
        ids=ids,
        clock=clock,
        without_keys=lambda: True,
        metrics=Metrics(),
    )


def test_a_fault_is_answered_with_an_id_and_logged_under_it_and_tells_nothing_else(caplog):
    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(_ask(_edge([Route("/v1/boom", _fail)]), "/v1/boom"))
    request_id = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert request_id in answer.json()["error"]["message"]
    assert "fire" not in answer.text
    assert request_id in caplog.text
    assert "the disk is on fire" in caplog.text


class _OpenKeys:
    def open(self):
        return True


class _BrokenEvals:
    def get(self, project, eval_id):
        raise RuntimeError("the disk is on fire")


def _api(**services):
    absent = dict.fromkeys(field.name for field in fields(Services))
    clock = SystemClock()
    options = AppOptions(ids=SystemIds(clock), clock=clock)
    return build_app(Services(**{**absent, "keys": _OpenKeys(), **services}), options)


def test_a_fault_in_a_route_has_the_form_of_its_prefix(caplog):
    app = _api(evals=_BrokenEvals())
    plain = asyncio.run(_ask(app, "/v1/evals/eval_0")).json()["error"]
    azure = asyncio.run(_ask(app, "/openai/evals/eval_0")).json()["error"]
    assert (plain["type"], plain["code"], plain["param"]) == ("server_error", None, None)
    assert (azure["type"], azure["code"]) == ("error", "500")
    assert len(caplog.records) == 2


def test_a_server_that_is_not_ready_is_alive():
    app = _api()
    assert asyncio.run(_ask(app, "/health")).status_code == 200
    assert asyncio.run(_ask(app, "/ready")).status_code == 503


def test_a_client_that_goes_away_is_no_fault(caplog):
    sent = []

    async def leave():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/evals", "query_string": b"", "headers": headers}
    asyncio.run(_api()(scope, leave, send))
    assert sent[0]["status"] == 400
    assert not caplog.records


def test_behind_a_proxy_the_public_url_is_the_servers_own_name():
    app = _edge([Route("/v1/x", lambda request: Response("ok"))], public_url="https://evals.example.com")

    async def ask(**headers):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return (await client.get("/v1/x", headers=headers)).status_code

    assert asyncio.run(ask(host="evals.example.com")) == 200
    assert asyncio.run(ask(origin="https://evals.example.com")) == 200
    assert asyncio.run(ask(origin="https://other.example.com")) == 403
