"""Reinforcement: rewards for the trainer alone, validations as runs of the job's eval, the best of them told."""

import json
import time

import httpx2
import openai
import pytest

from tuning.bench import GRADER, create, metrics, prompt_rows, reinforcement, upload, wait, wait_for_step


@pytest.fixture(scope="module")
def done(tuner):
    with tuner.client() as client:
        validation = upload(client, prompt_rows(4))
        job = create(client, prompt_rows(20), validation_file=validation, method=reinforcement())
        yield client, wait(client, job)


def test_every_validation_is_a_run_of_the_jobs_eval(done):
    client, job = done
    eval_id = job.model_extra["eval_id"]
    assert client.evals.retrieve(eval_id).testing_criteria[0].name == "exact"
    runs = list(client.evals.runs.list(eval_id))
    assert [run.name for run in runs] == ["step-1", "step-2", "step-3", "step-4"]
    assert [run.result_counts.passed for run in runs] == [1, 2, 3, 4]
    assert all(run.status == "completed" for run in runs)
    items = list(client.evals.runs.output_items.list(runs[0].id, eval_id=eval_id))
    assert [item.status for item in items] == ["pass", "fail", "fail", "fail"]
    assert items[0].datasource_item["answer"] == "it is 0"


def test_rewards_of_validations_are_in_the_metrics_of_their_steps(done, tuner):
    client, job = done
    told = metrics(client, job)
    assert [data["full_valid_mean_reward"] for data in told] == [0.25, 0.5, 0.75, 1.0]
    assert [data["train_mean_reward"] for data in told] == [0.25, 0.5, 0.75, 1.0]
    message = next(
        event.message for event in client.fine_tuning.jobs.list_events(job.id) if event.type == "metrics"
    )
    assert message == (
        "Step 4/4 , train mean reward=1.00, full validation mean reward=1.00, full validation mean parse error=0.00"
    )
    known = json.loads((tuner.data_dir / "fine_tuning" / job.id / "rewards.json").read_bytes())
    assert known == {"1": 0.25, "2": 0.5, "3": 0.75, "4": 1.0}


def test_checkpoints_show_the_reward_of_their_validation(done):
    client, job = done
    found = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [each.metrics.model_extra["full_valid_mean_reward"] for each in found] == [1.0, 0.75, 0.5]


def test_the_best_three_checkpoints_are_left(done, tuner):
    client, job = done
    assert [each.step_number for each in client.fine_tuning.jobs.checkpoints.list(job.id)] == [4, 3, 2]
    names = {model.id for model in client.models.list()}
    assert {step for step in range(1, 5) if f"{job.fine_tuned_model}:ckpt-step-{step}" in names} == {2, 3, 4}
    folder = tuner.data_dir / "fine_tuning" / job.id / "checkpoints"
    assert {each.name for each in folder.iterdir()} == {"step-2", "step-3", "step-4"}


MULTI = {
    "type": "multi",
    "name": "both",
    "graders": {"exact": GRADER, "near": {**GRADER, "name": "near", "operation": "ilike"}},
    "calculate_output": "0.75 * exact + 0.25 * near",
}


def spec_of(tuner, job) -> dict:
    path = tuner.data_dir / "fine_tuning" / job.id / "spec.json"
    while not path.exists():
        time.sleep(0.05)
    return json.loads(path.read_bytes())


def sample(text: str, answer: str) -> dict:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"item": {"answer": answer}, "sample": {"model": "m", "choices": choices}}


@pytest.fixture
def training(client, tuner):
    """A reinforcement job that is being trained, and what its trainer was told."""
    method = reinforcement()
    method["reinforcement"]["grader"] = MULTI
    validation = upload(client, prompt_rows(4))
    job = create(client, prompt_rows(20), model="slow", validation_file=validation, method=method)
    wait_for_step(client, job, 1)
    yield job, spec_of(tuner, job)["grading"]
    client.fine_tuning.jobs.cancel(job.id)


def grade(grading: dict, body, token: str | None = None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token or grading['token']}"}
    return httpx2.post(grading["url"], json=body, headers=headers)


def test_a_trainer_gets_rewards_with_the_token_of_its_job(training):
    _, grading = training
    body = [sample("Yes", "Yes"), sample("yes, sir", "Yes"), sample("no", "Yes")]
    answer = grade(grading, body)
    assert answer.status_code == 200
    assert [each["reward"] for each in answer.json()["data"]] == [1.0, 0.25, 0.0]
    assert answer.json()["data"][0]["scores"] == {"exact": 1.0, "near": 1.0}


def test_python_graders_reward_too(client, tuner):
    method = reinforcement()
    source = "def grade(sample, item):\n    return len(sample['output_text']) / len(item['answer'])"
    method["reinforcement"]["grader"] = {"type": "python", "name": "length", "source": source}
    try:
        validation = upload(client, prompt_rows(4))
        job = create(client, prompt_rows(20), model="slow", validation_file=validation, method=method)
    except openai.BadRequestError as refused:
        pytest.skip(refused.message)
    wait_for_step(client, job, 1)
    answer = grade(spec_of(tuner, job)["grading"], [sample("ab", "abcd"), sample("abcd", "abcd")])
    assert [each["reward"] for each in answer.json()["data"]] == [0.5, 1.0]
    client.fine_tuning.jobs.cancel(job.id)


def test_a_sample_that_cannot_be_graded_has_the_reward_0_and_says_why(training):
    _, grading = training
    [graded] = grade(grading, [{"item": {}, "sample": sample("x", "x")["sample"]}]).json()["data"]
    assert graded["reward"] == 0.0
    assert {error["kind"] for error in graded["errors"]} == {"invalid_variable_error"}


def test_the_token_opens_its_own_job_alone_and_nothing_once_that_has_ended(training, client):
    job, grading = training
    assert grade(grading, [], token="guessed").status_code == 401
    elsewhere = {**grading, "url": grading["url"].replace(job.id, "ftjob-other")}
    assert grade(elsewhere, []).status_code == 401
    assert grade(grading, {"not": "a list"}).status_code == 400
    client.fine_tuning.jobs.cancel(job.id)
    assert grade(grading, []).status_code == 401


def test_a_reinforcement_job_needs_a_grader_that_this_server_can_ask(client):
    method = reinforcement()
    method["reinforcement"]["grader"] = {
        "type": "score_model",
        "name": "judge",
        "model": "nobody",
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    }
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, prompt_rows(20), validation_file=upload(client, prompt_rows(4)), method=method)
    assert refused.value.param == "method.reinforcement.grader.model"


def test_response_formats_are_kept_as_given_and_told_as_chat_has_them(client, tuner):
    method = reinforcement()
    flat = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}
    method["reinforcement"]["response_format"] = flat
    job = create(client, prompt_rows(20), validation_file=upload(client, prompt_rows(4)), method=method)
    assert job.method.reinforcement.model_extra["response_format"] == flat
    inner = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert spec_of(tuner, job)["response_format"] == {"type": "json_schema", "json_schema": inner}
    client.fine_tuning.jobs.cancel(job.id)
