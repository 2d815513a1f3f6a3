"""Blobs in a bucket: the same promises as on disk, over a wire that fails."""

import random

import pytest

from buckets import BUCKET, bucket_server
from regrade.core.errors import ConfigurationError, NoRoomError, NotFoundError, StorageError
from regrade.store import bucket as bucket_store
from regrade.store.bucket import BucketBlobs

KEY = "files/ab/file-1"
LARGE = 40 << 20


@pytest.fixture(scope="module")
def running():
    with bucket_server() as bucket:
        yield bucket


@pytest.fixture
def bucket(running):
    running.wire.latency_s, running.wire.cut_after = 0.0, None
    yield running
    running.wire.latency_s, running.wire.cut_after = 0.0, None
    running.empty()


@pytest.fixture
def blobs(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_store, "_RETRIES", 1)
    return BucketBlobs(bucket.url, bucket.variables, tmp_path)


def put(blobs, key, content):
    writer = blobs.writer(key)
    try:
        writer.write(content)
        writer.commit()
    finally:
        writer.abort()


def test_a_blob_comes_back_whole_and_nothing_stays_on_this_machine(blobs, bucket, tmp_path):
    content = bytes(range(256)) * 5000
    put(blobs, KEY, content)
    assert b"".join(blobs.pieces(KEY)) == content
    assert bucket.objects() == [KEY]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_blob_is_a_blob(blobs):
    put(blobs, KEY, b"")
    assert b"".join(blobs.pieces(KEY)) == b""


def test_a_large_blob_goes_in_parts_and_comes_back_whole(blobs, bucket):
    content = random.Random(1).randbytes(LARGE)
    put(blobs, KEY, content)
    head = bucket.s3.head_object(Bucket=BUCKET, Key=f"some/prefix/{KEY}")
    assert head["ETag"].strip('"').endswith("-5")  # how S3 marks what came in five parts
    assert b"".join(blobs.pieces(KEY)) == content


def test_nothing_is_visible_before_the_commit_nor_after_an_abort(blobs, bucket):
    writer = blobs.writer(KEY)
    writer.write(b"half")
    for read in (blobs.open, blobs.pieces):
        with pytest.raises(NotFoundError):
            read(KEY)
    writer.abort()
    writer.abort()
    assert bucket.objects() == []


def test_a_connection_lost_in_mid_upload_leaves_nothing(blobs, bucket):
    writer = blobs.writer(KEY)
    writer.write(bytes(LARGE))
    bucket.wire.cut_after = LARGE // 2
    with pytest.raises(StorageError, match="could not keep files/ab/file-1"):
        writer.commit()
    bucket.wire.cut_after = None
    writer.abort()
    assert bucket.objects() == []
    put(blobs, KEY, b"again")
    assert b"".join(blobs.pieces(KEY)) == b"again"


def test_lines_are_read_from_where_one_seeks_to_and_not_the_whole(blobs, bucket):
    lines = [b"%08d %s\n" % (number, b"x" * 1000) for number in range(20_000)]
    put(blobs, KEY, b"".join(lines))
    seen = []
    original, blobs.fetch = (
        blobs.fetch,
        lambda key, start, stop: (seen.append(stop - start), original(key, start, stop))[1],
    )
    with blobs.open(KEY) as source:
        source.seek(5_000 * len(lines[0]))
        read = [source.readline() for _ in range(100)]
        assert read == lines[5_000:5_100]
    assert sum(seen) < 1 << 20


def test_reading_on_fetches_ahead_in_growing_blocks(blobs, bucket):
    content = random.Random(2).randbytes(12 << 20)
    put(blobs, KEY, content)
    starts = []
    original, blobs.fetch = (
        blobs.fetch,
        lambda key, start, stop: (starts.append(start), original(key, start, stop))[1],
    )
    with blobs.open(KEY) as source:
        assert source.read(100_000) == content[:100_000]
        assert b"".join(iter(lambda: source.read(50_000), b"")) == content[100_000:]
    assert sorted(starts) == sorted(set(starts))
    assert len(starts) < 12


def test_a_reader_can_go_anywhere(blobs):
    content = random.Random(3).randbytes(3 << 20)
    put(blobs, KEY, content)
    chance = random.Random(4)
    with blobs.open(KEY) as source:
        for _ in range(60):
            at, length = chance.randrange(len(content)), chance.choice((1, 1000, 400_000))
            source.seek(at)
            assert source.read(length) == content[at : at + length]
        assert source.seek(0, 2) == len(content)
        assert source.read(1) == b""


def test_deleting_is_final_and_may_be_repeated(blobs):
    put(blobs, KEY, b"x")
    blobs.delete(KEY)
    blobs.delete(KEY)
    with pytest.raises(NotFoundError):
        blobs.open(KEY)


def test_entries_are_found_below_the_prefix_by_kind(blobs, bucket):
    for number in range(5):
        put(blobs, f"parts/aa/part_{number}", b"x")
    put(blobs, KEY, b"x")
    assert sorted(entry.key for entry in blobs.entries("parts")) == [f"parts/aa/part_{n}" for n in range(5)]
    assert [entry.key for entry in blobs.entries("secrets")] == []


def test_a_bucket_that_does_not_answer_is_named_and_its_keys_are_not(blobs, bucket):
    put(blobs, KEY, b"x")
    bucket.wire.cut_after = 0
    with pytest.raises(StorageError, match="s3://bucket/some/prefix could not find") as caught:
        blobs.open(KEY)
    assert "secret" not in caught.value.message
    assert "127.0.0.1" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_bucket_that_is_not_there_is_said_to_be_missing(bucket, tmp_path):
    with pytest.raises(StorageError, match="There is no bucket s3://other"):
        put(BucketBlobs("s3://other/x", bucket.variables, tmp_path), KEY, b"x")


def test_half_a_credential_is_refused_at_the_start(bucket, tmp_path):
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        BucketBlobs("s3://bucket", {"AWS_ACCESS_KEY_ID": "key"}, tmp_path)


def test_no_room_to_wait_in_is_called_so(blobs, monkeypatch):
    writer = blobs.writer(KEY)
    writer.abort()
    with open("/dev/full", "wb", buffering=0) as writer._file, pytest.raises(NoRoomError):  # noqa: PTH123
        writer.write(b"x")


def test_only_keys_of_the_server_are_keys(blobs):
    for call in (blobs.writer, blobs.open, blobs.pieces, blobs.delete):
        with pytest.raises(ValueError, match="blob key"):
            call("../x")
