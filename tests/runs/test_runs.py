"""Runs through the real SDK: rows in every form, bad rows, refusals, cancel, delete, files that go meanwhile."""

import json
import time

import openai
import pytest

from evals import CONFIG, EXACT, file_source, inline_source, jsonl, row, upload, wait

pytestmark = pytest.mark.both_databases

CONTAINS = {
    "type": "string_check",
    "name": "contains",
    "operation": "ilike",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}
LOOSE = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}


@pytest.fixture
def exact(client):
    return client.evals.create(name="exact", data_source_config=CONFIG, testing_criteria=[EXACT])


@pytest.fixture
def loose(client):
    return client.evals.create(name="loose", data_source_config=LOOSE, testing_criteria=[CONTAINS])


def start(client, eval_, data_source, **more):
    return client.evals.runs.create(eval_.id, data_source=data_source, **more)


def items_of(client, run, **filters):
    return list(client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, limit=100, **filters))


def test_a_run_counts_what_passed_and_failed(client, exact):
    rows = [row(0, right=True), row(1, right=False), row(2, right=True)]
    run = wait(client, start(client, exact, inline_source(rows), name="three", metadata={"commit": "abc"}))
    assert run.status == "completed"
    assert run.result_counts.to_dict() == {"total": 3, "passed": 2, "failed": 1, "errored": 0}
    assert (run.name, run.metadata, run.error) == ("three", {"commit": "abc"}, None)
    assert [item.status for item in items_of(client, run)] == ["pass", "fail", "pass"]


def test_wrapped_and_flat_rows_mean_the_same(client, exact):
    flat = [each["item"] for each in (row(0, right=True), row(1, right=False))]
    run = wait(client, start(client, exact, file_source(upload(client, flat))))
    assert (run.result_counts.passed, run.result_counts.failed) == (1, 1)
    assert items_of(client, run)[0].datasource_item == {"answer": "0", "reference": "0"}


@pytest.mark.parametrize(
    "sample",
    [
        {"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "It is Paris."}}]},
        {"output_text": "It is Paris."},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "It is Paris."}]}]},
        "It is Paris.",
    ],
    ids=["chat completion", "output_text", "response", "text"],
)
def test_a_recorded_sample_is_graded_in_every_shape(client, loose, sample):
    rows = [{"item": {"reference": "paris"}, "sample": sample}]
    run = wait(client, start(client, loose, inline_source(rows)))
    [item] = items_of(client, run)
    assert item.status == "pass"
    assert item.sample.output[0].content == "It is Paris."


def test_bad_rows_of_a_file_are_errored_items_that_say_why_and_the_run_goes_on(client, exact):
    lines = [
        json.dumps(row(0, right=True)).encode(),
        b"{not json",
        b'{"item": {"answer": 5, "reference": "x"}}',
        b'{"item": {"answer": "x"}}',
        b'{"item": {"answer": NaN}}',
        b'"\xff"',
        b"[1]",
        b"",
        json.dumps(row(7, right=False)).encode(),
    ]
    file = client.files.create(file=("bad.jsonl", b"\xef\xbb\xbf" + b"\r\n".join(lines)), purpose="evals")
    run = wait(client, start(client, exact, file_source(file)))
    assert run.status == "completed"
    assert run.result_counts.to_dict() == {"total": 8, "passed": 1, "failed": 1, "errored": 6}
    assert run.per_testing_criteria_results[0].to_dict()["errored"] == 6
    errors = [item.sample.error.message for item in items_of(client, run, status="error")]
    assert [message.split(":")[0] for message in errors] == [f"Line {number}" for number in range(2, 8)]
    assert "item.answer" in errors[1]
    assert "reference" in errors[2]


def test_a_row_whose_template_finds_nothing_is_errored(client, loose):
    rows = [{"item": {"reference": "a"}, "sample": "a"}, {"item": {}, "sample": "a"}]
    run = wait(client, start(client, loose, inline_source(rows)))
    assert run.result_counts.to_dict() == {"total": 2, "passed": 1, "failed": 0, "errored": 1}
    [result] = items_of(client, run, status="error")[0].results
    assert "reference" in result.to_dict()["error"]["message"]


def test_a_run_in_which_no_row_can_be_graded_has_failed(client, exact):
    run = wait(client, start(client, exact, file_source(upload(client, [{"item": {}}]))))
    assert run.status == "failed"
    assert "Line 1" in run.error.message


def test_a_run_over_an_empty_file_has_failed(client, exact):
    run = wait(client, start(client, exact, file_source(upload(client, []))))
    assert (run.status, run.error.code) == ("failed", "empty_data_source")


def test_an_inline_row_that_does_not_fit_is_refused_with_its_path(client, exact):
    with pytest.raises(openai.BadRequestError) as refused:
        start(client, exact, inline_source([row(0, right=True), {"item": {"answer": 1, "reference": "x"}}]))
    assert refused.value.param == "data_source.source.content[1].item.answer"


def test_an_unknown_file_is_refused(client, exact):
    with pytest.raises(openai.BadRequestError) as refused:
        start(client, exact, {"type": "jsonl", "source": {"type": "file_id", "id": "file-nowhere"}})
    assert refused.value.param == "data_source.source.id"


def test_a_file_of_another_purpose_is_refused(client, exact):
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="assistants")
    with pytest.raises(openai.BadRequestError) as refused:
        start(client, exact, file_source(file))
    assert refused.value.code == "invalid_file_purpose"


def test_an_unknown_model_is_refused(client, exact):
    asked = {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}
    source = inline_source([row(0, right=True)]) | {
        "type": "completions",
        "model": "gpt-4o",
        "input_messages": asked,
    }
    with pytest.raises(openai.BadRequestError, match="gpt-4o") as refused:
        start(client, exact, source)
    assert (refused.value.param, refused.value.code) == ("data_source.model", "model_not_found")


def test_messages_without_a_model_are_refused(client, exact):
    asked = {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}
    with pytest.raises(openai.BadRequestError) as refused:
        start(client, exact, inline_source([row(0, right=True)]) | {"type": "completions", "input_messages": asked})
    assert refused.value.param == "data_source.model"


def test_inline_content_is_answered_as_it_came(client, loose):
    rows = [{"item": {"reference": "ä", "n": 2**70, "deep": [1.5, None, {"a": []}]}, "sample": "ä\n"}] * 2
    run = wait(client, start(client, loose, inline_source(rows)))
    path = f"/evals/{loose.id}/runs"
    answers = [client.get(f"{path}/{run.id}", cast_to=object), client.get(path, cast_to=object)["data"][0]]
    assert [answer["data_source"]["source"]["content"] for answer in answers] == [rows, rows]
    assert items_of(client, run)[0].datasource_item["n"] == 2**70


def test_large_integers_of_a_file_survive(client, loose):
    file = upload(client, [{"item": {"reference": "a", "n": -(2**80)}, "sample": "a"}])
    run = wait(client, start(client, loose, file_source(file)))
    assert items_of(client, run)[0].datasource_item["n"] == -(2**80)


def test_cancel_stops_within_a_second_and_keeps_what_is_graded(client, exact):
    file = upload(client, (row(index, right=True) for index in range(150_000)))
    run = start(client, exact, file_source(file))
    while client.evals.runs.retrieve(run.id, eval_id=exact.id).result_counts.total == 0:
        time.sleep(0.02)
    canceled = client.evals.runs.cancel(run.id, eval_id=exact.id)
    assert canceled.status == "canceled"
    time.sleep(1)
    later = client.evals.runs.retrieve(run.id, eval_id=exact.id)
    assert 0 < later.result_counts.total < 150_000
    assert later.result_counts.to_dict() == canceled.result_counts.to_dict()
    assert client.evals.runs.cancel(run.id, eval_id=exact.id).status == "canceled"
    assert len(client.evals.runs.output_items.list(run.id, eval_id=exact.id, limit=100).data) == 100


def test_a_completed_run_cannot_be_canceled(client, exact):
    run = wait(client, start(client, exact, inline_source([row(0, right=True)])))
    with pytest.raises(openai.BadRequestError) as refused:
        client.evals.runs.cancel(run.id, eval_id=exact.id)
    assert refused.value.code == "invalid_state"


def test_a_file_deleted_in_the_middle_leaves_the_api_and_the_run_goes_on(client, exact):
    file = upload(client, (row(index, right=True) for index in range(20_000)))
    run = start(client, exact, file_source(file))
    client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert wait(client, run).result_counts.passed == 20_000


def test_deleting_an_eval_takes_its_runs_along(client, exact):
    run = start(client, exact, file_source(upload(client, (row(n, right=True) for n in range(5_000)))))
    assert client.evals.delete(exact.id).eval_id == exact.id
    with pytest.raises(openai.NotFoundError):
        client.evals.runs.retrieve(run.id, eval_id=exact.id)


def test_a_deleted_run_is_gone(client, exact):
    run = wait(client, start(client, exact, inline_source([row(0, right=True)])))
    deleted = client.evals.runs.delete(run.id, eval_id=exact.id)
    assert (deleted.deleted, deleted.run_id) == (True, run.id)
    assert client.evals.runs.list(exact.id).data == []


def test_a_run_is_found_only_under_its_eval(client, exact, loose):
    run = start(client, exact, inline_source([row(0, right=True)]))
    with pytest.raises(openai.NotFoundError):
        client.evals.runs.retrieve(run.id, eval_id=loose.id)


def test_runs_are_listed_by_status(client, exact):
    runs = [wait(client, start(client, exact, inline_source([row(0, right=True)]))) for _ in range(3)]
    assert [run.id for run in client.evals.runs.list(exact.id, status="completed")] == [run.id for run in runs]
    assert list(client.evals.runs.list(exact.id, status="failed")) == []


def test_a_file_with_a_row_over_the_limit_errors_that_row_alone(tmp_path):
    from servers import serving

    rows = jsonl([row(0, right=True)]) + b'{"item": "' + b"x" * 5_000 + b'"}\n' + jsonl([row(2, right=True)])
    with serving(tmp_path / "data", "--max-row-bytes", "4 KiB") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        file = client.files.create(file=("rows.jsonl", rows), purpose="evals")
        run = wait(client, start(client, eval_, file_source(file)))
        assert run.result_counts.to_dict() == {"total": 3, "passed": 2, "failed": 0, "errored": 1}
        [item] = items_of(client, run, status="error")
        assert item.datasource_item_id == 1
        assert "longer than 4096 bytes" in item.sample.error.message
