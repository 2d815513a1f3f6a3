"""A large upload costs the server no memory."""

import re
from pathlib import Path

import pytest

from servers import serving
from worlds import form, post

MIB = 1 << 20
ALLOWANCE = 24 * MIB  # buffers of the socket and the form, several times over


def peak(server):
    """The largest resident size so far, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


@pytest.mark.parametrize("size", [64 * MIB, pytest.param(512 * MIB, marks=pytest.mark.long)])
def test_memory_does_not_grow_with_a_file(tmp_path, size):
    rows = tmp_path / "rows.jsonl"
    with rows.open("wb") as file:
        file.truncate(size)
    body, content_type = form(('name="purpose"', b"evals"), ('name="file"; filename="rows.jsonl"', b"\0"))
    head, _, tail = body.partition(b"\0")
    with serving(tmp_path / "data", "--workers", "0") as server, server.client() as client:
        client.files.create(file=("small.jsonl", b"{}"), purpose="evals")
        before = peak(server)
        status, made = post(server.url, "/v1/files", _stream(head, rows, tail), content_type)
        assert (status, made["bytes"]) == (200, size)
        with client.files.with_streaming_response.content(made["id"]) as response:
            assert sum(map(len, response.iter_bytes(MIB))) == size
        assert peak(server) - before < ALLOWANCE


def _stream(head, path, tail):
    yield head
    with path.open("rb") as file:
        while piece := file.read(MIB):
            yield piece
    yield tail
