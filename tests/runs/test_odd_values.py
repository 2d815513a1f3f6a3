"""Values that one database would take and the other not: both answer the same."""

import openai
import pytest

from evals import CONFIG, EXACT, inline_source, wait

pytestmark = pytest.mark.both_databases

ODD = "a\0b\uffff0c"


@pytest.fixture
def eval_(client):
    return client.evals.create(
        name=ODD, metadata={ODD: ODD}, data_source_config=CONFIG, testing_criteria=[{**EXACT, "name": ODD}]
    )


def test_every_character_of_a_client_comes_back(client, eval_):
    assert (eval_.name, eval_.metadata) == (ODD, {ODD: ODD})
    row = {"item": {"answer": ODD, "reference": ODD}}
    run = client.evals.runs.create(eval_.id, name=ODD, data_source=inline_source([row]), metadata={"k": ODD})
    run = wait(client, run)
    assert (run.status, run.name, run.metadata, run.result_counts.passed) == ("completed", ODD, {"k": ODD}, 1)
    [item] = client.evals.runs.output_items.list(run.id, eval_id=eval_.id)
    assert item.datasource_item == row["item"]
    assert run.per_testing_criteria_results[0].testing_criteria == eval_.testing_criteria[0].id


def test_ids_with_odd_characters_are_found_nowhere(client, eval_):
    with pytest.raises(openai.NotFoundError):
        client.evals.retrieve("eval_\0")
    with pytest.raises(openai.BadRequestError):
        client.evals.list(after="eval_\0")
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-\uffff")


@pytest.mark.parametrize("time", [10**30, -(2**63) - 1])
def test_a_time_that_no_database_holds_is_refused(client, eval_, time):
    source = {"type": "stored_completions", "created_after": time}
    with pytest.raises(openai.BadRequestError, match="created_after"):
        client.evals.runs.create(eval_.id, data_source={"type": "completions", "source": source})
