"""Python graders in eval runs and by themselves, through the unmodified SDK."""

import subprocess
import sys
import time

import httpx2
import openai
import pytest

from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from servers import serving

HALF = """
def grade(sample, item):
    number = int(item["answer"])
    if number == 3:
        print("three is", item["reference"])
    return 1 / (number - 5) if number == 5 else number % 2
"""
ODD = "def grade(sample, item):\n    return int(item['answer']) % 2\n"
HANGING = "def grade(sample, item):\n    while True: pass\n"
READING = (
    "def grade(sample, item):\n    return float(sample['output_text'] == item['ref'] and sample['choices'] != [])\n"
)


def python(source, **more):
    return {"type": "python", "name": "code", "source": source, **more}


def new_run(client, rows, *criteria):
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=list(criteria))
    return client.evals.runs.create(eval_.id, data_source=file_source(upload(client, rows)))


def items_of(client, run):
    return list(client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, limit=100))


def test_each_row_gets_what_the_code_says_of_it(client):
    run = wait(client, new_run(client, [row(index, right=True) for index in range(10)], python(HALF), EXACT))
    assert run.result_counts.to_dict() == {"total": 10, "passed": 5 - 1, "failed": 5, "errored": 1}
    items = items_of(client, run)
    assert [item.status for item in items] == ["pass" if index % 2 else "fail" for index in range(5)] + [
        "error"
    ] + ["pass" if index % 2 else "fail" for index in range(6, 10)]
    [code, exact] = items[5].results
    assert exact.passed
    assert code.error["code"] == "python_grader_runtime_error"
    assert code.error["message"].splitlines() == [
        "Traceback (most recent call last):",
        '  File "grader.py", line 6, in grade',
        "    return 1 / (number - 5) if number == 5 else number % 2",
        "ZeroDivisionError: division by zero",
    ]
    assert items[3].results[0].sample == {"stdout": "three is 3\n"}
    assert items[4].results[0].sample is None


def test_the_code_is_one_of_the_graders_of_a_formula(client):
    graders = {"code": python(HALF), "exact": EXACT}
    both = {"type": "multi", "name": "both", "graders": graders, "calculate_output": "code + exact / 4"}
    run = wait(client, new_run(client, [row(index, right=True) for index in range(5)], both))
    assert [item.results[0].score for item in items_of(client, run)] == [0.25, 1.25, 0.25, 1.25, 0.25]


def test_recorded_answers_reach_the_code_as_the_documented_sample(client):
    rows = [
        {"item": {"answer": "", "reference": "", "ref": "x"}, "sample": {"output_text": "x", "choices": [{}]}},
        {"item": {"answer": "", "reference": "", "ref": "x"}, "sample": {"output_text": "y"}},
    ]
    run = wait(client, new_run(client, rows, python(READING)))
    assert run.result_counts.to_dict() == {"total": 2, "passed": 1, "failed": 1, "errored": 0}


def test_many_rows_are_each_graded_once(client):
    source = "def grade(sample, item):\n    return float(item['answer'] == item['reference'])\n"
    run = wait(
        client, new_run(client, [row(index, right=index % 3 == 0) for index in range(6_000)], python(source))
    )
    assert run.result_counts.to_dict() == {"total": 6_000, "passed": 2_000, "failed": 4_000, "errored": 0}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    with (
        serving(tmp_path_factory.mktemp("impatient"), "--python-grader-timeout", "2") as server,
        server.client() as made,
    ):
        yield made


def test_a_grader_that_hangs_is_stopped_and_costs_other_runs_nothing(impatient):
    rows = [row(index, right=True) for index in range(1_000)]
    hanging = new_run(impatient, rows, python(HANGING))
    other = wait(impatient, new_run(impatient, rows, python(ODD)))
    assert other.result_counts.passed == 500
    ended = wait(impatient, hanging)
    assert ended.status == "failed"
    assert ended.error.code == "no_row_processed"
    assert "longer than 2 seconds" in ended.error.message
    assert ended.result_counts.errored == 1_000


def test_a_run_that_is_cancelled_leaves_its_hanging_grader(impatient):
    run = new_run(impatient, [row(index, right=True) for index in range(10)], python(HANGING))
    while impatient.evals.runs.retrieve(run.id, eval_id=run.eval_id).status == "queued":
        time.sleep(0.02)
    assert impatient.evals.runs.cancel(run.id, eval_id=run.eval_id).status == "canceled"


def run_grader(client, grader, **body):
    answer = client.post(
        "/fine_tuning/alpha/graders/run", body={"grader": grader, **body}, cast_to=openai.BaseModel
    )
    return answer.to_dict()


def test_one_sample_is_graded_by_itself(client):
    answer = run_grader(client, python(READING), model_sample="42", item={"ref": "42"})
    assert answer["reward"] == 1.0
    assert answer["metadata"]["type"] == "python"
    assert not any(value is True for value in answer["metadata"]["errors"].values())


def test_what_the_code_raises_is_in_the_answer(client):
    answer = run_grader(client, python(HALF), model_sample="", item={"answer": "5"})
    assert answer["reward"] == 0.0
    errors = answer["metadata"]["errors"]
    assert errors["python_grader_runtime_error"] is True
    assert "ZeroDivisionError" in errors["python_grader_runtime_error_details"]


def test_a_grader_that_hangs_has_its_answer_after_the_time_that_it_is_given(impatient):
    answer = run_grader(impatient, python(HANGING), model_sample="", item={})
    assert "longer than 2 seconds" in answer["metadata"]["errors"]["python_grader_runtime_error_details"]


def test_too_many_python_graders_are_refused(client):
    with pytest.raises(openai.BadRequestError, match="up to 20"):
        client.evals.create(data_source_config=CONFIG, testing_criteria=[python(HALF)] * 21)


def test_the_level_is_told(server):
    assert httpx2.get(f"{server.url}/health").json()["python_graders"] in ("strict", "landlock")


def test_unconfined_graders_run_on_loopback(tmp_path):
    with serving(tmp_path, "--unsafe-python-graders") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[python(ODD)])
        run = client.evals.runs.create(eval_.id, data_source=inline_source([row(1, right=True)]))
        assert wait(client, run).result_counts.passed == 1
        assert httpx2.get(f"{server.url}/health").json()["python_graders"] == "unsafe"


def test_unconfined_graders_are_not_offered_to_other_machines(tmp_path):
    regrade = [sys.executable, "-m", "regrade"]
    place = ["--data-dir", str(tmp_path)]
    subprocess.run([*regrade, "keys", "create", "--project", "p", *place], check=True, capture_output=True)
    serve = [*regrade, "serve", "--host", "0.0.0.0", "--port", "0", "--unsafe-python-graders", *place]
    refused = subprocess.run(serve, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "--unsafe-python-graders runs the code of whoever reaches this server" in refused.stderr
