"""The whole way, with a real trainer: rows in, a tuned model out, which answers and is evaluated."""

import pytest

from servers import serving
from tuning.bench import GRADER, create, messages, metrics, reinforcement, supervised, upload, wait

pytest.importorskip("trl", reason="fine-tuning is not installed: pip install 'regrade[train]'")
pytest.importorskip("llguidance", reason="local models are not installed: pip install 'regrade[local]'")

pytestmark = pytest.mark.timeout(240)

WORDS = ("red", "green", "blue", "white")


def rows(count: int) -> list[dict]:
    """The answer repeats the question's last word, in capitals."""
    found = []
    for n in range(count):
        word = WORDS[n % len(WORDS)]
        asked = {"role": "user", "content": f"{n % 7} {word}"}
        found.append({"messages": [asked, {"role": "assistant", "content": word.upper()}]})
    return found


def prompts(count: int) -> list[dict]:
    return [{"messages": row["messages"][:1], "answer": row["messages"][1]["content"]} for row in rows(count)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from regrade.training.tiny import create_tiny

    folder = tmp_path_factory.mktemp("real")
    texts = [message["content"] for row in rows(40) for message in row["messages"]]
    create_tiny(folder / "tiny", texts=texts, layers=2, width=64, seed=3)
    config = folder / "regrade.toml"
    training = "training = {learning_rate = 5e-3, max_completion_tokens = 6}"
    config.write_text(f'[[base_models]]\nname = "base"\npath = "{folder / "tiny"}"\n{training}\n')
    with serving(folder / "data", "--config", str(config)) as server, server.client(max_retries=0) as client:
        validation = upload(client, rows(8))
        method = supervised(n_epochs=6, batch_size=16)
        yield (
            client,
            wait(client, create(client, rows(128), validation_file=validation, method=method), seconds=180),
        )


def evaluated(client, model: str) -> float:
    criterion = {**GRADER, "reference": "{{item.answer}}"}
    eval_ = client.evals.create(
        data_source_config={"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True},
        testing_criteria=[criterion],
    )
    items = [{"item": {"asked": row["messages"][0]["content"], "answer": row["answer"]}} for row in prompts(8)]
    template = {"type": "template", "template": [{"role": "user", "content": "{{item.asked}}"}]}
    run = client.evals.runs.create(
        eval_.id,
        data_source={
            "type": "completions",
            "model": model,
            "input_messages": template,
            "sampling_params": {"temperature": 0, "max_completion_tokens": 6},
            "source": {"type": "file_content", "content": items},
        },
    )
    while run.status in ("queued", "in_progress"):
        run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
    assert run.status == "completed", run.error
    return run.result_counts.passed / run.result_counts.total


def test_the_loss_falls_and_the_tuned_model_passes_an_eval_that_its_base_fails(trained):
    client, job = trained
    assert job.status == "succeeded", (job.error, messages(client, job))
    told = metrics(client, job)
    assert told[-1]["train_loss"] < told[0]["train_loss"] / 10
    assert told[-1]["valid_loss"] < 0.5
    assert job.trained_tokens > 128 * 6
    assert evaluated(client, "base") == 0.0
    assert evaluated(client, job.fine_tuned_model) == 1.0


def test_a_checkpoint_answers_through_the_gateway(trained):
    client, job = trained
    [last, *_] = client.fine_tuning.jobs.checkpoints.list(job.id).data
    answer = client.chat.completions.create(
        model=last.fine_tuned_model_checkpoint, messages=[{"role": "user", "content": "3 blue"}], temperature=0
    )
    assert answer.choices[0].message.content == "BLUE"


def test_reinforcement_gets_its_rewards_and_validates_in_runs(trained):
    client, job = trained
    method = reinforcement(batch_size=4, eval_interval=2)
    validation = upload(client, prompts(4))
    further = create(client, prompts(16), model=job.fine_tuned_model, validation_file=validation, method=method)
    further = wait(client, further, seconds=180)
    assert further.status == "succeeded", (further.error, messages(client, further))
    told = metrics(client, further)
    assert told[0]["train_mean_reward"] > 0.5
    assert [data["step"] for data in told if "full_valid_mean_reward" in data] == [2, 4]
    runs = list(client.evals.runs.list(further.model_extra["eval_id"]))
    assert [run.name for run in runs] == ["step-2", "step-4"]
