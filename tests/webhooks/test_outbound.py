"""Requests to strangers: where they go, and what comes of answers that are no answers."""

import asyncio
import socket
import threading
import time

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from regrade.core.addresses import Allowed
from regrade.outbound import Outbound
from regrade.ports.outbound import UnreachableError
from stranger import stranger

HERE = Allowed.read(["127.0.0.0/8"])


class Names(AbstractResolver):
    """A resolver that answers one thing after the other."""

    def __init__(self, *answers):
        self.asked = []
        self._answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for each in addresses
        ]

    async def close(self):
        pass


def post(url, outbound, body=b"{}"):
    return asyncio.run(outbound.post(url, headers={"webhook-id": "wh_1"}, body=body))


def test_a_request_arrives_as_it_is():
    with stranger(204) as there:
        assert post(f"{there.url}?a=b", Outbound(allowed=HERE, http=True), b"hello") == 204
        (got,) = there.received
    assert (got.path, got.body, got.headers["webhook-id"]) == ("/hook?a=b", b"hello", "wh_1")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("OpenAI/1.0 (")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:port/",
        "https://example.com:99999/",
        "https://example.com/#fragment",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://[::1/",
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://[::ffff:169.254.169.254]/",
        "https://10.0.0.1/",
        "https://LOCALHOST/",
        "https://a.localhost./",
    ],
)
def test_urls_that_can_be_seen_to_lead_nowhere_good_are_refused_unasked(url):
    names = Names(["127.0.0.1"])
    outbound = Outbound(resolver=names)
    assert outbound.check(url)
    with pytest.raises(UnreachableError):
        post(url, outbound)
    assert names.asked == []


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://example.com:8443/a?b=c", "HTTPS://EXAMPLE.com/", "https://8.8.8.8/"]
)
def test_other_urls_pass(url):
    assert Outbound().check(url) is None


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["169.254.169.254"], ["0.0.0.0"]],
)
def test_a_name_leads_to_no_private_address(addresses):
    with stranger() as there:
        with pytest.raises(UnreachableError, match="no public address"):
            post(f"http://evil.example:{there.port}/", Outbound(http=True, resolver=Names(addresses)))
        assert there.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1.", "0"])
def test_odd_ways_to_write_an_address_lead_nowhere(host):
    with stranger() as there:
        with pytest.raises(UnreachableError):
            post(f"http://{host}:{there.port}/", Outbound(http=True))
        assert there.received == []


def test_a_name_that_was_public_when_it_was_looked_at_gains_nothing():
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    outbound = Outbound(http=True, resolver=names)

    async def rebind(url):
        assert (await names.resolve("evil.example"))[0]["host"] == "93.184.216.34"  # whoever looked before
        await outbound.post(url, headers={}, body=b"")

    with stranger() as there:
        with pytest.raises(UnreachableError, match="no public address"):
            asyncio.run(rebind(f"http://evil.example:{there.port}/"))
        assert there.received == []
    assert names.asked == ["evil.example"] * 2


def test_of_several_addresses_only_those_allowed_are_tried():
    with stranger() as there:
        outbound = Outbound(allowed=HERE, http=True, resolver=Names(["10.255.255.1", "127.0.0.1"]))
        assert post(f"http://mixed.example:{there.port}/", outbound) == 200


def test_an_operator_can_allow_a_host_by_name():
    with stranger() as there:
        outbound = Outbound(allowed=Allowed.read(["hooks.internal"]), http=True, resolver=Names(["127.0.0.1"]))
        assert post(f"http://Hooks.Internal:{there.port}/", outbound) == 200
        with pytest.raises(UnreachableError):
            post(f"http://other.internal:{there.port}/", outbound)


def test_redirects_are_answers_and_are_not_followed():
    def away(handler):
        handler.send_response(307)
        handler.send_header("location", there.url)
        handler.send_header("content-length", "0")
        handler.end_headers()

    with stranger(away, 200) as there:
        assert post(there.url, Outbound(allowed=HERE, http=True)) == 307
        assert len(there.received) == 1


def test_an_answer_without_end_is_not_read():
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            ended.set()

    ended = threading.Event()
    with stranger(endless) as there:
        assert post(there.url, Outbound(allowed=HERE, http=True)) == 200
        assert ended.wait(30)


def test_silence_and_chatter_end_with_the_timeout():
    def silent(handler):
        released.wait(30)

    def chatters(handler):
        try:
            while True:
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.01)
        except OSError:
            pass

    released = threading.Event()
    with stranger(silent, chatters) as there:
        for _ in range(2):
            with pytest.raises(UnreachableError, match=r"within 0\.3 seconds"):
                post(there.url, Outbound(allowed=HERE, http=True, timeout_s=0.3))
        released.set()


def test_what_is_no_http_and_nobody_there_are_told_apart_without_the_url():
    def garbage(handler):
        handler.wfile.write(b"SSH-2.0-nothing\r\n" + b"x" * 100_000)

    with stranger(garbage) as there:
        with pytest.raises(UnreachableError, match="as HTTP servers do") as caught:
            post(f"{there.url}?token=geheim", Outbound(allowed=HERE, http=True))
        assert "geheim" not in str(caught.value)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        post(f"{there.url}?token=geheim", Outbound(allowed=HERE, http=True))


def test_a_certificate_that_nobody_vouches_for_is_refused():
    with stranger() as there, pytest.raises(UnreachableError):
        post(there.url.replace("http:", "https:"), Outbound(allowed=HERE))
