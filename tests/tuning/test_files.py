"""Files are read line by line before a job is queued; what is wrong is said with line and field."""

import json

import pytest

from tuning.bench import chat_rows, create, messages, upload, wait


def test_wrong_rows_fail_the_job_and_are_named(client):
    rows = chat_rows(20)
    rows[4] = {"messages": [{"role": "user", "content": "no answer"}]}
    rows[7] = {"messages": [{"role": "wizard", "content": "x"}]}
    job = wait(client, create(client, rows), until=("failed",))
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert "Line 5, messages" in job.error.message
    assert "1 more rows are wrong" in job.error.message
    assert any(told.startswith("Line 8, messages[0].role") for told in messages(client, job))


def test_a_line_that_is_no_json_is_named(client):
    text = b"".join(json.dumps(row).encode() + b"\n" for row in chat_rows(12)) + b"{half\n"
    job = wait(client, create(client, text), until=("failed",))
    assert "Line 13" in job.error.message


def test_too_few_rows_fail_the_job_in_the_hosted_words(client):
    job = wait(client, create(client, chat_rows(9)), until=("failed",))
    assert job.error.code == "invalid_n_examples"
    assert job.error.message == "Training file has 9 example(s), but must have at least 10."


def test_the_validation_file_is_read_too(client):
    validation = upload(client, [{"prompt": "x", "completion": "y"}])
    job = wait(client, create(client, validation_file=validation), until=("failed",))
    assert (job.error.code, job.error.param) == ("invalid_validation_file", "validation_file")


def test_a_file_that_is_deleted_at_once_is_still_read(client):
    job = create(client)
    client.files.delete(job.training_file)
    assert wait(client, job).status == "succeeded"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_matter(client, mark):
    text = mark + b"".join(json.dumps(row).encode() + b"\n" for row in chat_rows(10))
    assert wait(client, create(client, text)).status == "succeeded"
