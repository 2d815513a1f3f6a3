"""The main job on real input: recorded solutions of two published models, through the unmodified SDK."""

import json

import pytest

from evals import file_source, wait

FINAL_NUMBER = """
import re

def number(text):
    found = re.findall(r"-?[0-9][0-9,]*(?:\\.[0-9]+)?", text.replace("$", ""))
    return float(found[-1].replace(",", "")) if found else None

def grade(sample, item):
    answer = number(sample["output_text"].rpartition("A:")[2])
    return answer is not None and answer == number(item["reference"])
"""


@pytest.mark.parametrize("model", ["6b_finetuning", "6b_verification"])
def test_recorded_solutions_get_exactly_the_known_counts(client, gsm8k, model):
    expected = json.loads((gsm8k / "expected.json").read_text())[model]
    right = expected["string_check_eq_of_model_answer_and_reference"]
    with (gsm8k / f"{model}.jsonl").open("rb") as rows:
        file = client.files.create(file=rows, purpose="evals")
    eval_ = client.evals.create(
        name="gsm8k",
        data_source_config={
            "type": "custom",
            "item_schema": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("question", "reference", "model_answer")},
                "required": ["question", "reference", "model_answer"],
            },
            "include_sample_schema": True,
        },
        testing_criteria=[
            {
                "type": "string_check",
                "name": "final answer",
                "operation": "eq",
                "input": "{{item.model_answer}}",
                "reference": "{{item.reference}}",
            }
        ],
    )
    run = wait(client, client.evals.runs.create(eval_.id, name=model, data_source=file_source(file)))

    rows, wrong = expected["rows"], expected["rows"] - right
    assert run.status == "completed"
    assert run.result_counts.to_dict() == {"total": rows, "passed": right, "failed": wrong, "errored": 0}
    [criterion] = run.per_testing_criteria_results
    assert criterion.testing_criteria == eval_.testing_criteria[0].id
    assert (criterion.passed, criterion.failed) == (right, wrong)

    items = list(client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=100))
    assert [item.datasource_item_id for item in items] == list(range(rows))
    assert len({item.id for item in items}) == rows
    assert sum(item.status == "pass" for item in items) == right
    assert all(item.sample.output[0].content.strip() for item in items)
    failed = list(client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=100, status="fail"))
    assert [item.id for item in failed] == [item.id for item in items if item.status == "fail"]


@pytest.mark.parametrize("model", ["6b_finetuning", "6b_verification"])
def test_a_python_grader_that_reads_the_solutions_finds_the_published_counts(client, gsm8k, model):
    expected = json.loads((gsm8k / "expected.json").read_text())[model]
    with (gsm8k / f"{model}.jsonl").open("rb") as rows:
        file = client.files.create(file=rows, purpose="evals")
    schema = {"type": "object", "properties": {"reference": {"type": "string"}}, "required": ["reference"]}
    eval_ = client.evals.create(
        data_source_config={"type": "custom", "item_schema": schema, "include_sample_schema": True},
        testing_criteria=[
            {"type": "python", "name": "final number", "source": FINAL_NUMBER, "image_tag": "2025-05-08"}
        ],
    )
    run = wait(client, client.evals.runs.create(eval_.id, data_source=file_source(file)))
    right = expected["published_correct"]
    assert run.result_counts.to_dict() == {
        "total": expected["rows"], "passed": right, "failed": expected["rows"] - right, "errored": 0,
    }  # fmt: skip
