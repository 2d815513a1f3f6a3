"""The objects themselves: evals, runs and items in their normal form, from the first answer to the last."""

import re

import pytest

from conformance.graders_of_the_wire import EVERY_GRADER, LABELLED, SCORED
from conformance.main_job import SIMILAR, letters
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait

RUN = {
    *("object", "id", "eval_id", "status", "model", "name", "created_at", "report_url", "result_counts"),
    *("per_model_usage", "per_testing_criteria_results", "data_source", "error", "metadata"),
}
ITEM = {
    *("object", "id", "run_id", "eval_id", "created_at", "status", "datasource_item_id", "datasource_item"),
    *("results", "sample"),
}
NOTHING = {"total": 0, "errored": 0, "failed": 0, "passed": 0}


@pytest.fixture
def eval_(client):
    return client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])


@pytest.fixture
def runs(eval_):
    return f"/evals/{eval_.id}/runs"


@pytest.fixture(scope="module")
def slow(server):
    """A run that takes many seconds: each fuzzy match of its texts, so unlike in length, takes over 10 ms."""
    rows = [{"item": {"reference": letters(600, 11)}, "sample": {"output_text": letters(1_900, 7)}}] * 1000
    with server.client() as client:
        config = {"type": "custom", "item_schema": {}}
        eval_ = client.evals.create(data_source_config=config, testing_criteria=[SIMILAR])
        source = file_source(upload(client, rows))
        yield lambda: client.evals.runs.create(eval_.id, data_source=source)


# -- evals --------------------------------------------------------------------------------------------------


def test_every_criterion_has_an_id_made_of_its_name(http):
    body = {"data_source_config": CONFIG, "testing_criteria": [*EVERY_GRADER, EXACT]}
    criteria = http.post("/evals", json=body).json()["testing_criteria"]
    ids = [criterion["id"] for criterion in criteria]
    assert len(set(ids)) == len(EVERY_GRADER) + 1
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    for criterion in criteria:
        assert re.fullmatch(f"{criterion['name']}-{uuid}", criterion["id"])


def test_messages_are_answered_in_normal_form(http):
    body = {"data_source_config": CONFIG, "testing_criteria": [LABELLED, SCORED]}
    labelled, scored = http.post("/evals", json=body).json()["testing_criteria"]
    assert labelled["input"][0] == {
        "type": "message",
        "role": "developer",
        "content": {"type": "input_text", "text": "Label the answer."},
    }
    assert scored["input"][1] == {"type": "message", **SCORED["input"][1]}
    assert scored["sampling_params"] == SCORED["sampling_params"]


def test_a_pydantic_schema_is_answered_word_for_word(http):
    schema = {
        "title": "Item",
        "type": "object",
        "$defs": {"Note": {"title": "Note", "type": "object", "properties": {"text": {"type": "string"}}}},
        "properties": {"notes": {"type": "array", "items": {"$ref": "#/$defs/Note"}}},
    }
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    made = http.post("/evals", json={"data_source_config": config, "testing_criteria": [EXACT]}).json()
    assert set(made["data_source_config"]) == {"type", "schema"}
    answered = made["data_source_config"]["schema"]
    assert answered["properties"]["item"] == schema
    assert answered["required"] == ["item", "sample"]
    assert answered["properties"]["sample"]["required"] == ["model", "choices"]
    bad = {"item": {"notes": [{"text": 1}]}}
    refused = http.post(f"/evals/{made['id']}/runs", json={"data_source": inline_source([bad])})
    assert refused.json()["error"]["param"] == "data_source.source.content[0].item.notes[0].text"


# -- runs ---------------------------------------------------------------------------------------------------


def test_a_run_is_whole_from_its_first_answer_on(http, runs, server):
    made = http.post(runs, json={"data_source": inline_source([row(0, right=True)])})
    run = made.json()
    assert made.status_code == 201
    assert set(run) == RUN
    assert run["status"] == "queued"
    assert run["result_counts"] == NOTHING
    assert run["per_model_usage"] == run["per_testing_criteria_results"] == []
    assert (run["name"], run["metadata"], run["model"], run["error"]) == ("", {}, None, None)
    assert run["report_url"] == f"{server.url}{runs}/{run['id']}"


def test_a_completed_run_counts_every_criterion(client, eval_):
    rows = [row(0, right=True), row(1, right=False), {"item": {}}]
    run = wait(client, client.evals.runs.create(eval_.id, data_source=file_source(upload(client, rows))))
    [criterion] = run.per_testing_criteria_results
    counts = {"passed": 1, "failed": 1, "errored": 1}
    assert criterion.to_dict() == {"testing_criteria": eval_.testing_criteria[0].id, **counts}
    assert run.result_counts.to_dict() == {"total": 3, **counts}
    assert run.per_model_usage == []


def test_an_item_passes_only_if_every_criterion_does(client):
    never = {**EXACT, "name": "never", "operation": "ne"}
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT, never])
    source = inline_source([row(0, right=True), row(1, right=False)])
    run = wait(client, client.evals.runs.create(eval_.id, data_source=source))
    items = client.evals.runs.output_items.list(run.id, eval_id=eval_.id).data
    assert [item.status for item in items] == ["fail", "fail"]
    assert [(each.passed, each.failed) for each in run.per_testing_criteria_results] == [(1, 1), (1, 1)]


def test_an_item_has_every_field(http, client, eval_, runs):
    run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source([row(0, right=True)])))
    [item] = http.get(f"{runs}/{run.id}/output_items").json()["data"]
    assert set(item) >= ITEM
    assert (item["run_id"], item["eval_id"]) == (run.id, eval_.id)
    assert item["created_at"] >= run.created_at
    assert item["datasource_item"] == row(0, right=True)["item"]
    criterion = eval_.testing_criteria[0].id
    assert item["results"] == [
        {"name": criterion, "type": "string_check", "passed": True, "score": 1.0, "sample": None}
    ]


def test_counts_move_while_a_run_goes_on_and_freeze_when_it_is_canceled(http, slow):
    run = slow()
    path = f"/evals/{run.eval_id}/runs/{run.id}"
    while http.get(path).json()["result_counts"]["total"] == 0:
        assert http.get(path).json()["status"] in ("queued", "in_progress")
    canceled = http.post(f"{path}/cancel", headers={"content-type": "application/json"}).json()
    assert canceled["status"] == "canceled"
    assert 0 < canceled["result_counts"]["total"] < 1000
    assert len(canceled["per_testing_criteria_results"]) == 1
    listed = http.get(f"{path}/output_items", params={"limit": 100}).json()["data"]
    assert len(listed) == min(100, canceled["result_counts"]["total"])
    assert http.get(path).json() == canceled


@pytest.mark.parametrize("path", ["", "/cancel"])
def test_canceling_twice_is_canceling_once(http, slow, path):
    run = slow()
    url = f"/evals/{run.eval_id}/runs/{run.id}{path}"
    first, second = http.post(url), http.post(url)
    assert (first.status_code, first.json()["status"]) == (200, "canceled")
    assert (second.status_code, second.json()) == (200, first.json())


@pytest.mark.parametrize("content", [[row(0, right=True)], None])
def test_an_ended_run_cannot_be_canceled(http, client, eval_, runs, content):
    source = inline_source(content) if content else file_source(upload(client, []))
    run = wait(client, client.evals.runs.create(eval_.id, data_source=source))
    assert run.status == ("completed" if content else "failed")
    for path in ("", "/cancel"):
        answer = http.post(f"{runs}/{run.id}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_state")


def test_a_failed_run_says_why_and_has_lists(client, eval_):
    run = wait(client, client.evals.runs.create(eval_.id, data_source=file_source(upload(client, []))))
    assert (run.status, run.result_counts.to_dict()) == ("failed", NOTHING)
    assert run.error.code
    assert run.error.message.endswith(".")
    assert run.per_model_usage == []
    assert isinstance(run.per_testing_criteria_results, list)


# -- errors -------------------------------------------------------------------------------------------------

BAD_RUNS = [
    # body, code, param
    ({}, "missing_required_parameter", "data_source"),
    ({"data_source": None}, "invalid_type", "data_source"),
    ({"data_source": {}}, "missing_required_parameter", "data_source.type"),
    ({"data_source": {"type": "csv"}}, "invalid_value", "data_source.type"),
    ({"data_source": {"type": "jsonl"}}, "missing_required_parameter", "data_source.source"),
    ({"data_source": {"type": "jsonl", "source": {"type": "url"}}}, "invalid_value", "data_source.source.type"),
    (
        {"data_source": {"type": "jsonl", "source": {"type": "file_id"}}},
        "missing_required_parameter",
        "data_source.source.id",
    ),
    (
        {"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": "file-none"}}},
        "invalid_value",
        "data_source.source.id",
    ),
    ({"data_source": inline_source([])}, "invalid_value", "data_source.source.content"),
    ({"data_source": inline_source([5])}, "invalid_type", "data_source.source.content[0]"),
    (
        {"data_source": inline_source([row(0, right=True), {"item": {"answer": 1, "reference": "x"}}])},
        "invalid_value",
        "data_source.source.content[1].item.answer",
    ),
    (
        {"data_source": inline_source([{"answer": 1, "reference": "x"}])},
        "invalid_value",
        "data_source.source.content[0].answer",
    ),
    (
        {"data_source": {"type": "completions", "model": "none", "source": inline_source([{}])["source"]}},
        "missing_required_parameter",
        "data_source.input_messages",
    ),
    ({"data_source": inline_source([row(0, right=True)]), "name": 5}, "invalid_type", "name"),
    ({"data_source": inline_source([row(0, right=True)]), "metadata": {"k": 1}}, "invalid_type", "metadata"),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD_RUNS)
def test_a_wrong_run_is_refused_with_the_path_of_the_fault(http, runs, body, code, param):
    answer = http.post(runs, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    assert http.get(runs).json()["data"] == []


@pytest.mark.parametrize("grader", [LABELLED, SCORED], ids=lambda grader: grader["type"])
def test_a_grader_that_needs_what_is_missing_is_kept_by_evals_and_refused_by_runs(http, grader):
    body = {"data_source_config": CONFIG, "testing_criteria": [EXACT, grader]}
    eval_id = http.post("/evals", json=body).json()["id"]
    answer = http.post(f"/evals/{eval_id}/runs", json={"data_source": inline_source([row(0, right=True)])})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "testing_criteria[1].model")
    assert "no " in error["message"]


def test_unknown_runs_and_items_are_named(http, client, eval_, runs):
    run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source([row(0, right=True)])))
    item = f"{runs}/{run.id}/output_items/outputitem_0"
    for method, path, param in (
        ("GET", f"{runs}/evalrun_0", "run_id"),
        ("POST", f"{runs}/evalrun_0", "run_id"),
        ("POST", f"{runs}/evalrun_0/cancel", "run_id"),
        ("DELETE", f"{runs}/evalrun_0", "run_id"),
        ("GET", f"{runs}/evalrun_0/output_items", "run_id"),
        ("GET", item, "output_item_id"),
    ):
        answer = http.request(method, path)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (404, param, "not_found")
        assert error["type"] == "invalid_request_error"


def test_deletions_are_answered_with_the_ids(http, client, eval_, runs):
    run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source([row(0, right=True)])))
    gone = http.delete(f"{runs}/{run.id}").json()
    assert gone == {"object": "eval.run.deleted", "deleted": True, "run_id": run.id}
    assert http.get(f"{runs}/{run.id}/output_items").status_code == 404
    gone = http.delete(f"/evals/{eval_.id}").json()
    assert gone == {"object": "eval.deleted", "deleted": True, "eval_id": eval_.id}
    assert http.get(runs).status_code == 404
