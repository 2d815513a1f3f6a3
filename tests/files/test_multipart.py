"""Forms: read alike however they are cut into pieces, and refused when they are not whole or too large."""

import socket
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.api.multipart import Form
from regrade.core.errors import InvalidError, MediaTypeError, TooLargeError
from worlds import form, post

FILE = ('name="file"; filename="rows.jsonl"', b"{}")
PURPOSE = ('name="purpose"', b"evals")


class Collected:
    """What reached the file."""

    def __init__(self):
        self.content = b""

    def write(self, data):
        self.content += data


def read(body, content_type, cuts=()):
    collected = Collected()
    reading = Form(content_type, "file", collected)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(body)], strict=True):
        reading.feed(body[start:stop])
    reading.finish()
    return reading.filename, reading.fields, collected.content


@given(
    content=st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"-", b"--", b"\r\n--a", b"\r\n--a-boundary", b"\r\n--a-boundary--", b"x" * 50]
        )
    ).map(b"".join),
    first=st.booleans(),
    cuts=st.lists(st.integers(0, 500), max_size=12),
)
def test_a_form_reads_the_same_however_it_is_cut(content, first, cuts):
    boundary = b"a-boundary-never-seen-whole"
    parts = [('name="file"; filename="a"', content), PURPOSE]
    body, content_type = form(*(parts if first else parts[::-1]), boundary=boundary)
    assert read(body, content_type, [min(cut, len(body)) for cut in cuts]) == ("a", {"purpose": "evals"}, content)


@pytest.mark.parametrize("order", [(FILE, PURPOSE), (PURPOSE, FILE)])
def test_fields_may_come_before_the_file_and_after_it(url, order):
    status, answer = post(url, "/v1/files", *form(*order))
    assert (status, answer["bytes"], answer["purpose"]) == (200, 2, "evals")


def test_unknown_parts_are_let_be(url):
    extra = [('name="x"; filename="y"', b"z"), ("", b"nameless"), ('name="aoai"', "é".encode("latin-1"))]
    assert post(url, "/v1/files", *form(*extra, FILE, PURPOSE))[0] == 200


def refusal(kind, *parts, **more):
    body, content_type = form(*parts, **more)
    with pytest.raises(kind) as refused:
        read(body, content_type)
    return refused.value


def test_two_files_are_one_too_many():
    assert refusal(InvalidError, FILE, FILE, PURPOSE).param == "file"


def test_too_many_parts_are_refused():
    assert "32 parts" in refusal(InvalidError, *[PURPOSE] * 33).message


def test_fields_that_are_too_large_in_sum_are_refused():
    halves = [('name="a"', bytes(40_000)), ('name="b"', bytes(40_000))]
    assert "65536 bytes" in refusal(InvalidError, *halves, FILE).message


def test_headers_that_are_too_long_or_too_many_are_refused():
    assert "header" in refusal(InvalidError, (f'name="{"n" * 5000}"', b"")).message.lower()
    assert "header" in refusal(InvalidError, ('name="a"' + "\r\nX: y" * 20, b"")).message.lower()


@pytest.mark.parametrize("kept", [0, 1, 30, 60, 100])
def test_a_form_that_stops_early_is_refused(kept):
    body, content_type = form(FILE)
    with pytest.raises(InvalidError):
        read(body[: min(kept, len(body) - 5)], content_type)


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed; boundary=b"])
def test_a_body_that_is_no_form_is_refused(content_type):
    with pytest.raises(MediaTypeError):
        Form(content_type, "file", Collected())


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 300}"])
def test_a_form_without_a_usable_boundary_is_refused(content_type):
    with pytest.raises(InvalidError):
        Form(content_type, "file", Collected())


def test_a_file_that_grows_too_large_is_stopped_while_it_arrives(world):
    incoming = world.files.receive()
    for _ in range(4):
        incoming.write(bytes(1 << 20))
    with pytest.raises(TooLargeError):
        incoming.write(b"x")
    incoming.abort()
    assert world.stored() == []


def test_a_client_that_leaves_in_the_middle_leaves_nothing(url, world, client):
    body, content_type = form(PURPOSE, ('name="file"; filename="rows.jsonl"', bytes(3 << 20)))
    head = f"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n"
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[: 2 << 20])
        while not world.stored():
            time.sleep(0.005)
    while world.stored():
        time.sleep(0.005)
    assert client.files.list().data == []
