"""Uploads through the real SDK: parts in, one file out."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from servers import serving
from worlds import form, post

CONTENT = bytes(range(256)) * 700
SIZE = len(CONTENT)


def begin(client, size=SIZE, **more):
    return client.uploads.create(
        bytes=size, filename="rows.jsonl", mime_type="text/jsonl", **{"purpose": "fine-tune", **more}
    )


def send(client, upload, content):
    return client.uploads.parts.create(upload.id, data=content).id


def refused(call, *args, **kwargs):
    with pytest.raises(openai.BadRequestError) as error:
        call(*args, **kwargs)
    return error.value.param, error.value.code


def test_a_file_arrives_in_parts(client):
    done = client.uploads.upload_file_chunked(
        file=CONTENT,
        filename="rows.jsonl",
        bytes=len(CONTENT),
        mime_type="text/jsonl",
        purpose="evals",
        part_size=50_000,
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    assert (done.status, done.bytes, done.file.bytes) == ("completed", len(CONTENT), len(CONTENT))
    assert (done.file.filename, done.file.purpose, done.file.status) == ("rows.jsonl", "evals", "processed")
    assert client.files.content(done.file.id).read() == CONTENT
    assert client.files.retrieve(done.file.id) == done.file


def test_parts_may_arrive_side_by_side_and_are_joined_in_the_order_named(client):
    upload = begin(client)
    pieces = [CONTENT[start : start + 20_000] for start in range(0, len(CONTENT), 20_000)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda piece: send(client, upload, piece), pieces))
    done = client.uploads.complete(upload.id, part_ids=ids)
    assert client.files.content(done.file.id).read() == CONTENT


def test_an_upload_is_pending_for_an_hour(client, world):
    upload = begin(client)
    assert (upload.status, upload.expires_at) == ("pending", upload.created_at + 3600)
    part = send(client, upload, CONTENT)
    world.clock.time = upload.expires_at
    assert refused(send, client, upload, b"more") == (None, "invalid_state")
    assert refused(client.uploads.complete, upload.id, part_ids=[part]) == (None, "invalid_state")
    assert refused(client.uploads.cancel, upload.id) == (None, "invalid_state")


def test_an_upload_of_nothing_is_an_empty_file(client):
    done = client.uploads.complete(begin(client, 0).id, part_ids=[])
    assert client.files.content(done.file.id).read() == b""


def test_the_file_expires_as_the_upload_said(client, world):
    upload = begin(client, 1, expires_after={"anchor": "created_at", "seconds": 7200})
    part = send(client, upload, b"x")
    world.clock.time += 60
    done = client.uploads.complete(upload.id, part_ids=[part])
    assert done.file.expires_at == done.file.created_at + 7200 == world.clock.time + 7200


def test_too_few_bytes_are_refused_and_more_may_follow(client):
    upload = begin(client)
    first = send(client, upload, CONTENT[:1000])
    assert refused(client.uploads.complete, upload.id, part_ids=[first]) == ("part_ids", "invalid_value")
    second = send(client, upload, CONTENT[1000:])
    assert client.uploads.complete(upload.id, part_ids=[first, second]).status == "completed"


def test_a_wrong_md5_is_refused_and_leaves_no_file(client, world):
    upload = begin(client)
    halves = [send(client, upload, CONTENT[:100_000]), send(client, upload, CONTENT[100_000:])]
    right = hashlib.md5(CONTENT).hexdigest()
    wrong_order = refused(client.uploads.complete, upload.id, part_ids=halves[::-1], md5=right)
    assert wrong_order == ("md5", "invalid_value")
    assert client.files.list().data == []
    assert len(world.stored()) == 2
    assert client.uploads.complete(upload.id, part_ids=halves, md5=right.upper()).status == "completed"


def test_unknown_and_repeated_parts_are_refused(client):
    upload, other = begin(client, 2), begin(client, 2)
    part, foreign = send(client, upload, b"x"), send(client, other, b"x")
    assert refused(client.uploads.complete, upload.id, part_ids=[part, foreign])[0] == "part_ids[1]"
    assert refused(client.uploads.complete, upload.id, part_ids=[part, part])[0] == "part_ids"


def test_completing_twice_makes_one_file(client):
    upload = begin(client, 1)
    part = send(client, upload, b"x")
    first = client.uploads.complete(upload.id, part_ids=[part])
    assert client.uploads.complete(upload.id, part_ids=[part]) == first
    assert len(client.files.list().data) == 1


def test_completing_at_the_same_time_makes_one_file(client, world):
    upload = begin(client)
    part = send(client, upload, CONTENT)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: client.uploads.complete(upload.id, part_ids=[part]), range(4)))
    assert {each.file.id for each in done} == {client.files.list().data[0].id}
    assert len(world.stored()) == 2


def test_a_cancelled_upload_stays_cancelled(client):
    upload = begin(client, 1)
    part = send(client, upload, b"x")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert refused(client.uploads.complete, upload.id, part_ids=[part]) == (None, "invalid_state")
    assert refused(send, client, upload, b"x") == (None, "invalid_state")


def test_a_completed_upload_cannot_be_cancelled(client):
    upload = begin(client, 0)
    client.uploads.complete(upload.id, part_ids=[])
    assert refused(client.uploads.cancel, upload.id) == (None, "invalid_state")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"size": -1}, "bytes"),
        ({"size": (8 << 30) + 1}, "bytes"),
        ({"purpose": "fun"}, "purpose"),
        ({"extra_body": {"filename": "rows.json"}}, "filename"),
        ({"extra_body": {"filename": "a/.."}}, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ],
)
def test_a_wrong_announcement_is_refused(client, change, param):
    assert refused(begin, client, **change)[0] == param


def test_another_projects_upload_does_not_exist(url, world):
    _, ours = world.keys.create("ours", "", admin=False)
    _, theirs = world.keys.create("theirs", "", admin=False)
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=ours) as us,
        openai.OpenAI(base_url=f"{url}/v1", api_key=theirs) as them,
    ):
        upload = begin(us, 0)
        for call in (
            lambda: send(them, upload, b""),
            lambda: them.uploads.complete(upload.id, part_ids=[]),
            lambda: them.uploads.cancel(upload.id),
        ):
            with pytest.raises(openai.NotFoundError) as error:
                call()
            assert error.value.param == "upload_id"


def test_a_repeated_part_is_one_part(client, world):
    upload = begin(client)
    first, again, other = (
        client.uploads.parts.create(upload.id, data=data, extra_headers={"x-stainless-retry-count": retries}).id
        for data, retries in ((CONTENT, "0"), (CONTENT, "1"), (CONTENT[:-1], "1"))
    )
    assert first == again != other
    assert len(world.stored()) == 2


def test_a_part_of_more_than_64_mb_is_refused_without_reading_it(client, url):
    upload = begin(client)
    status, answer = post(url, f"/v1/uploads/{upload.id}/parts", *form(('name="data"', bytes(66 << 20))))
    assert (status, answer["error"]["param"]) == (413, "data")


def test_a_sweep_takes_the_parts_of_ended_uploads_only(client, world):
    completed, cancelled, expired = begin(client, 1), begin(client, 1), begin(client, 1)
    parts = [send(client, upload, b"x") for upload in (completed, cancelled, expired)]
    client.uploads.complete(completed.id, part_ids=parts[:1])
    client.uploads.cancel(cancelled.id)
    assert world.uploads.sweep(limit=1) == 1
    assert world.uploads.sweep() == 1
    assert len(world.stored()) == 2
    world.clock.time += 3661
    pending = begin(client, 1)
    kept = send(client, pending, b"x")
    assert world.uploads.sweep() == 1
    assert world.uploads.sweep() == 0
    assert client.uploads.complete(pending.id, part_ids=[kept]).status == "completed"


def test_the_operator_may_set_smaller_limits(tmp_path):
    with serving(tmp_path / "data", "--max-upload-bytes", "2 MiB", "--max-part-bytes", "1 MiB") as server:
        client = server.client(max_retries=0)
        facts = {"filename": "rows.jsonl", "mime_type": "application/jsonl", "purpose": "evals"}
        with pytest.raises(openai.BadRequestError, match="at most 2 MB"):
            client.uploads.create(bytes=3 << 20, **facts)
        upload = client.uploads.create(bytes=2 << 20, **facts)
        with pytest.raises(openai.APIStatusError, match="at most 1 MB") as refused:
            client.uploads.parts.create(upload.id, data=b"x" * (2 << 20))
        assert refused.value.status_code == 413
