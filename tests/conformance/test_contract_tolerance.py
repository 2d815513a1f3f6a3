"""What clients send beyond the contract, or leave out as null, is not refused; what is unknown comes back."""

import pytest

from evals import CONFIG, EXACT, inline_source, row

EVAL = {"data_source_config": CONFIG, "testing_criteria": [EXACT]}
UNKNOWN = {"x_team": "search", "x_nested": {"a": [1, 2**70, None]}, "x_null": None}
ANSWERED_FOR_AN_EVAL = {"id": "mine", "object": "mine", "created_at": "mine"}
ANSWERED_FOR_A_RUN = {
    **ANSWERED_FOR_AN_EVAL,
    "eval_id": "mine",
    "status": "mine",
    "report_url": "mine",
    "error": "mine",
}


@pytest.fixture
def eval_id(http):
    return http.post("/evals", json=EVAL).json()["id"]


def _run(http, eval_id, /, **body):
    made = http.post(f"/evals/{eval_id}/runs", json={"data_source": inline_source([row(0, right=True)]), **body})
    assert made.status_code == 201, made.text
    return made.json()


def test_unknown_fields_of_an_eval_come_back(http):
    made = http.post("/evals", json={**EVAL, **UNKNOWN}).json()
    assert UNKNOWN.items() <= made.items()
    assert http.get(f"/evals/{made['id']}").json() == made
    renamed = http.post(f"/evals/{made['id']}", json={"name": "renamed"}).json()
    assert renamed == {**made, "name": "renamed"}


def test_unknown_fields_of_a_run_come_back(http, eval_id):
    made = _run(http, eval_id, **UNKNOWN)
    assert UNKNOWN.items() <= made.items()
    again = http.get(f"/evals/{eval_id}/runs/{made['id']}").json()
    assert UNKNOWN.items() <= again.items()
    assert again["data_source"] == made["data_source"] == inline_source([row(0, right=True)])


def test_fields_that_answers_have_cannot_be_sent(http, eval_id):
    assert "mine" not in http.post("/evals", json={**EVAL, **ANSWERED_FOR_AN_EVAL}).json().values()
    assert "mine" not in _run(http, eval_id, **ANSWERED_FOR_A_RUN).values()


def test_unknown_fields_of_configs_criteria_and_sources_come_back(http):
    config = {**CONFIG, **UNKNOWN}
    criterion = {**EXACT, **UNKNOWN}
    made = http.post("/evals", json={"data_source_config": config, "testing_criteria": [criterion]}).json()
    assert UNKNOWN.items() <= made["data_source_config"].items()
    assert UNKNOWN.items() <= made["testing_criteria"][0].items()
    source = inline_source([row(0, right=True)])
    source = {**source, **UNKNOWN, "source": {**source["source"], **UNKNOWN}}
    assert _run(http, made["id"], data_source=source)["data_source"] == source


def test_nulls_stand_for_what_is_left_out(http, eval_id):
    criterion = {**EXACT, "name": None}
    config = {**CONFIG, "include_sample_schema": None}
    body = {"data_source_config": config, "testing_criteria": [criterion], "name": None, "metadata": None}
    made = http.post("/evals", json=body).json()
    assert (made["name"], made["metadata"], made["testing_criteria"][0]["name"]) == ("", {}, "string_check")
    assert made["data_source_config"]["schema"]["required"] == ["item"]
    run = _run(http, eval_id, name=None, metadata=None)
    assert (run["name"], run["metadata"], run["model"], run["error"]) == ("", {}, None, None)
