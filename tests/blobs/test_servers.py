"""Whole servers on a bucket or on a shared folder, and the marker that keeps strangers away."""

import time
import urllib.request

import pytest
from openai import InternalServerError

from cli.commands import regrade
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from servers import serving

ROWS = 1_500


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    """Flags and environment of a server, and of one whose blobs lie elsewhere."""
    if request.param == "folder":
        return (f"file://{tmp_path}/shared", f"file://{tmp_path}/other", {})
    bucket = request.getfixturevalue("bucket")
    return (bucket.url, bucket.url.replace("some/prefix", "some/prefix/other"), bucket.variables)


def grade(client, data_source):
    eval_ = client.evals.create(name="e", data_source_config=CONFIG, testing_criteria=[EXACT])
    return wait(client, client.evals.runs.create(eval_.id, data_source=data_source))


def test_a_file_a_run_and_its_report_go_through_a_slow_bucket(tmp_path, bucket):
    bucket.wire.latency_s = 0.02
    flags = ("--blobs", bucket.url, "--max-part-bytes", "32 MiB")
    with serving(tmp_path / "data", *flags, env=bucket.variables) as server, server.client() as client:
        rows = [row(index, right=index % 3 != 0) for index in range(ROWS)]
        file = upload(client, rows)
        run = grade(client, file_source(file))
        assert (run.status, run.result_counts.passed, run.result_counts.total) == ("completed", ROWS * 2 // 3, ROWS)
        with urllib.request.urlopen(run.report_url) as page:
            assert b"66.7" in page.read()
        inline = grade(client, inline_source(rows[:3]))
        assert inline.data_source.source.content[2].item == {"answer": "2", "reference": "2"}
        large = b"x" * (20 << 20)
        joined = client.uploads.upload_file_chunked(
            file=large, filename="large.jsonl", bytes=len(large), mime_type="text/jsonl", purpose="evals"
        )
        assert client.files.content(joined.file.id).read() == large
        client.files.delete(file.id)
        assert client.files.list().data[0].id == joined.file.id
    assert {key.split("/")[0] for key in bucket.objects()} <= {"files", "parts", "runs", "marker"}
    assert bucket.unfinished_uploads() == []


def test_an_upload_that_the_bucket_loses_is_no_file_and_the_next_one_is(tmp_path, bucket):
    flags = ("--blobs", bucket.url, "--workers", "0")
    with serving(tmp_path / "data", *flags, env=bucket.variables) as server, server.client(max_retries=0) as client:
        bucket.wire.cut_after = 8 << 20
        with pytest.raises(InternalServerError, match="could not keep files/") as refusal:
            client.files.create(file=("rows.jsonl", bytes(12 << 20)), purpose="evals")
        assert refusal.value.status_code == 503
        bucket.wire.cut_after = None
        assert client.files.list().data == []
        assert bucket.objects() == ["marker"]
        file = client.files.create(file=("rows.jsonl", bytes(12 << 20)), purpose="evals")
        assert client.files.retrieve(file.id).bytes == 12 << 20


def test_a_server_that_sees_other_blobs_than_its_database_is_refused(tmp_path, place):
    right, wrong, env = place
    with serving(tmp_path / "data", "--workers", "0", "--blobs", right, env=env):
        pass
    refused = regrade("serve", "--data-dir", tmp_path / "data", "--port", "0", "--blobs", wrong, **env)
    assert refused.returncode == 2
    assert f"{wrong} does not hold the files of this database: the server's marker is not there" in refused.stderr
    with serving(tmp_path / "data", "--workers", "0", "--blobs", right, env=env):
        pass


def test_a_server_does_not_take_the_blobs_of_another_database(tmp_path, place):
    right, _, env = place
    with serving(tmp_path / "data", "--workers", "0", "--blobs", right, env=env):
        pass
    refused = regrade("serve", "--data-dir", tmp_path / "second", "--port", "0", "--blobs", right, **env)
    assert refused.returncode == 2
    assert f"{right} holds the files of another database" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bucket_that_cannot_be_reached_is_told_at_the_start(tmp_path, bucket):
    env = {**bucket.variables, "AWS_SECRET_ACCESS_KEY": "not-to-be-told", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    refused = regrade("serve", "--data-dir", tmp_path, "--port", "0", "--blobs", bucket.url, **env)
    assert refused.returncode == 3
    assert "could not find marker" in refused.stderr
    assert "not-to-be-told" not in refused.stderr


def test_a_run_waits_for_a_bucket_that_is_away_and_goes_on(tmp_path, bucket):
    with (
        serving(tmp_path / "data", "--blobs", bucket.url, env=bucket.variables) as server,
        server.client() as client,
    ):
        file = upload(client, [row(index, right=True) for index in range(ROWS)])
        eval_ = client.evals.create(name="e", data_source_config=CONFIG, testing_criteria=[EXACT])
        bucket.wire.latency_s = 0.5  # so that the worker is still asking when the wire is cut
        run = client.evals.runs.create(eval_.id, data_source=file_source(file))
        bucket.wire.cut_after = 0
        while not any("waits: The bucket s3://bucket/some/prefix could not" in line for line in server.errors):
            assert client.evals.runs.retrieve(run.id, eval_id=eval_.id).status in ("queued", "in_progress")
            time.sleep(0.05)
        bucket.wire.latency_s, bucket.wire.cut_after = 0.0, None
        assert wait(client, run).result_counts.passed == ROWS
