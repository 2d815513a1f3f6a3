"""Blobs: nothing is there before it is whole, and no key leads out of the directory."""

import subprocess
import sys

import pytest

from regrade.core.errors import NotFoundError
from regrade.store.blobs import DiskBlobs

KEY = "files/ab/file-1"


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


def put(blobs, key, content):
    writer = blobs.writer(key)
    writer.write(content)
    writer.commit()


def files_below(path):
    return [each for each in path.rglob("*") if each.is_file()]


def test_a_blob_comes_back_whole(blobs):
    content = bytes(range(256)) * 5000
    put(blobs, KEY, content)
    assert b"".join(blobs.pieces(KEY)) == content
    with blobs.open(KEY) as blob:
        blob.seek(256 * 1000 + 7)
        assert blob.read(2) == b"\x07\x08"


def test_nothing_is_visible_before_the_commit(blobs):
    writer = blobs.writer(KEY)
    writer.write(b"half")
    with pytest.raises(NotFoundError):
        blobs.open(KEY)
    with pytest.raises(NotFoundError):
        blobs.pieces(KEY)
    writer.abort()


def test_a_commit_replaces_the_blob_at_once(blobs):
    put(blobs, KEY, b"old")
    reading = blobs.pieces(KEY)
    put(blobs, KEY, b"new")
    assert b"".join(reading) == b"old"
    assert b"".join(blobs.pieces(KEY)) == b"new"


def test_an_aborted_blob_leaves_nothing(blobs, tmp_path):
    writer = blobs.writer(KEY)
    writer.write(b"half")
    writer.abort()
    writer.abort()
    assert files_below(tmp_path) == []


def test_an_abort_after_the_commit_is_harmless(blobs):
    writer = blobs.writer(KEY)
    writer.commit()
    writer.abort()
    assert b"".join(blobs.pieces(KEY)) == b""


def test_deleting_is_final_and_may_be_repeated(blobs):
    put(blobs, KEY, b"x")
    blobs.delete(KEY)
    blobs.delete(KEY)
    with pytest.raises(NotFoundError):
        blobs.open(KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a/",
        ".incoming/x",
        "a/.b",
        "a\\b",
        "a\0b",
        "a\n",
        "a/b/c/d/e",
    ],
)
def test_only_keys_of_the_server_are_keys(blobs, key):
    for call in (blobs.writer, blobs.open, blobs.pieces, blobs.delete):
        with pytest.raises(ValueError, match="blob key"):
            call(key)


def test_what_a_killed_writer_left_is_cleaned_and_a_living_one_is_let_be(blobs, tmp_path):
    program = """if True:
        import os, pathlib, signal, sys
        from regrade.store.blobs import DiskBlobs
        writer = DiskBlobs(pathlib.Path(sys.argv[1])).writer("files/ab/dead")
        writer.write(bytes(100_000))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "blobs")])
    living = blobs.writer(KEY)
    living.write(b"alive")
    assert len(files_below(tmp_path)) == 2
    assert DiskBlobs(tmp_path / "blobs").clean() == 1
    assert DiskBlobs(tmp_path / "blobs").clean() == 0
    living.commit()
    assert b"".join(blobs.pieces(KEY)) == b"alive"
