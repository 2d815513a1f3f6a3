"""Evals, through the real SDK."""

import openai
import pytest

from endpoints import no_python
from regrade.core.entities import PageRequest
from regrade.services.evals import Evals
from regrade.store.database import Database, sqlite_engine
from regrade.store.evals import SqlEvals
from regrade.store.tables import metadata
from worlds import CountedIds, HandClock

pytestmark = pytest.mark.both_databases


def test_an_eval_is_answered_in_normal_form(client, new_eval):
    made = client.evals.create(**new_eval, name="mine", metadata={"k": "v"})
    assert made.object == "eval"
    assert (made.name, made.metadata) == ("mine", {"k": "v"})
    config = made.data_source_config.to_dict()
    assert config["schema"]["properties"]["item"] == new_eval["data_source_config"]["item_schema"]
    assert "item_schema" not in config
    (criterion,) = made.testing_criteria
    assert criterion.id.startswith("same-")
    assert client.evals.retrieve(made.id).to_dict() == made.to_dict()


def test_optional_fields_may_be_absent_or_null(http, new_eval):
    answer = http.post("/v1/evals", json={**new_eval, "name": None, "metadata": None}).json()
    assert (answer["name"], answer["metadata"]) == ("", {})


@pytest.mark.parametrize("kind", ["logs", "stored_completions"])
def test_a_config_without_a_schema_is_answered_with_one(http, new_eval, kind):
    config = {"type": kind, "metadata": {"usecase": "chat"}}
    answer = http.post("/v1/evals", json={**new_eval, "data_source_config": config}).json()
    assert answer["data_source_config"]["metadata"] == {"usecase": "chat"}
    assert answer["data_source_config"]["schema"]["required"] == ["item", "sample"]


def test_what_an_eval_answers_can_be_posted_again(http, new_eval):
    first = http.post("/v1/evals", json=new_eval).json()
    again = http.post("/v1/evals", json=first)
    assert again.status_code == 201
    assert again.json()["data_source_config"] == first["data_source_config"]
    assert again.json()["id"] != first["id"]


def test_unknown_fields_are_no_error_and_those_of_criteria_are_echoed(http, new_eval):
    criterion = {**new_eval["testing_criteria"][0], "x_note": "mine", "image_tag": None}
    body = {**new_eval, "testing_criteria": [criterion], "statusCode": 201}
    answer = http.post("/v1/evals", json=body)
    assert answer.status_code == 201
    assert answer.json()["testing_criteria"][0]["x_note"] == "mine"


def test_an_update_replaces_what_is_given(client, new_eval):
    made = client.evals.create(**new_eval, name="old", metadata={"k": "v"})
    assert client.evals.update(made.id, name="new").metadata == {"k": "v"}
    assert client.evals.update(made.id, metadata={"x": "y"}).name == "new"
    cleared = client.evals.update(made.id, metadata=None)
    assert (cleared.name, cleared.metadata) == ("new", {})


def test_an_update_moves_an_eval_to_the_end_of_the_list_by_update(tmp_path, new_eval):
    engine, clock = sqlite_engine(tmp_path / "db"), HandClock()
    metadata.create_all(engine)
    evals = Evals(SqlEvals(Database(engine)), no_python(), CountedIds(clock), clock)
    first, second = evals.create("p", new_eval, None), evals.create("p", new_eval, None)
    clock.time += 1
    evals.update("p", first["id"], {"name": "touched"})

    def ids(order_by):
        return [eval_["id"] for eval_ in evals.list("p", PageRequest(), order_by=order_by).data]

    assert ids("created_at") == [first["id"], second["id"]]
    assert ids("updated_at") == [second["id"], first["id"]]
    engine.dispose()


def test_a_deleted_eval_is_gone(client, new_eval):
    made = client.evals.create(**new_eval)
    gone = client.evals.delete(made.id)
    assert gone.to_dict() == {"object": "eval.deleted", "deleted": True, "eval_id": made.id}
    with pytest.raises(openai.NotFoundError):
        client.evals.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.evals.delete(made.id)
    client.evals.list(after=made.id)  # a page that ended with it can still be followed
