"""The whole way, with a real trainer: rows in, a tuned model out, which answers and is evaluated."""

import pytest

from tuning.bench import create, messages, metrics, reinforcement, upload, wait
from tuning.real import evaluated, prompts

pytestmark = pytest.mark.timeout(240)


def test_the_loss_falls_and_the_tuned_model_passes_an_eval_that_its_base_fails(trained):
    _, client, job = trained
    assert job.status == "succeeded", (job.error, messages(client, job))
    told = metrics(client, job)
    assert told[-1]["train_loss"] < told[0]["train_loss"] / 10
    assert told[-1]["valid_loss"] < 0.5
    assert job.trained_tokens > 128 * 6
    assert evaluated(client, "base") == 0.0
    assert evaluated(client, job.fine_tuned_model) == 1.0


def test_a_checkpoint_answers_through_the_gateway(trained):
    _, client, job = trained
    [last, *_] = client.fine_tuning.jobs.checkpoints.list(job.id).data
    answer = client.chat.completions.create(
        model=last.fine_tuned_model_checkpoint, messages=[{"role": "user", "content": "3 blue"}], temperature=0
    )
    assert answer.choices[0].message.content == "BLUE"


@pytest.mark.long
def test_a_job_of_which_no_answer_can_be_parsed_ends_and_says_so(trained):
    _, client, job = trained
    method = reinforcement(batch_size=6, eval_interval=2)
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    shape = {"type": "json_schema", "json_schema": {"name": "word", "strict": True, "schema": schema}}
    method["reinforcement"]["response_format"] = shape
    options = {"model": job.fine_tuned_model, "validation_file": upload(client, prompts(4)), "method": method}
    further = wait(client, create(client, prompts(12), **options, seed=1), seconds=180)
    assert further.status == "succeeded", (further.error, messages(client, further))
    [told] = [data for data in metrics(client, further) if "full_valid_mean_reward" in data]
    assert (told["train_mean_reward"], told["full_valid_mean_reward"]) == (0.0, 0.0)
    assert told["full_valid_mean_parse_error"] == 1.0
    assert any("are cut off before they are whole JSON" in said for said in messages(client, further))


def test_reinforcement_gets_its_rewards_and_validates_in_runs(trained):
    _, client, job = trained
    method = reinforcement(batch_size=4, eval_interval=2)
    validation = upload(client, prompts(4))
    options = {"model": job.fine_tuned_model, "validation_file": validation, "method": method, "seed": 1}
    further = create(client, prompts(16), **options)
    further = wait(client, further, seconds=180)
    assert further.status == "succeeded", (further.error, messages(client, further))
    told = metrics(client, further)
    assert told[0]["train_mean_reward"] > 0.5
    assert [data["step"] for data in told if "full_valid_mean_reward" in data] == [2, 4]
    runs = list(client.evals.runs.list(further.model_extra["eval_id"]))
    assert [run.name for run in runs] == ["step-2", "step-4"]
