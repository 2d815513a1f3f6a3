"""What the contract says of jobs in between, of names, numbers and files, and of models that are gone."""

import base64

import httpx2
import openai
import pytest

from tuning.bench import create, messages, prompt_rows, reinforcement, supervised, upload, wait, wait_for_step

LONG = supervised(n_epochs=50)
BEFORE_METHODS = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,train_mean_token_accuracy,"
COLUMNS = {
    "supervised": BEFORE_METHODS + "validation_mean_token_accuracy,full_valid_loss,full_valid_mean_token_accuracy",
    "reinforcement": "step,train_reward_mean,valid_reward_mean,train_reasoning_tokens_mean,"
    "valid_reasoning_tokens_mean",
}


def test_a_pause_takes_effect_with_the_next_step_and_is_told_in_order(client):
    job = create(client, model="slow", method=supervised(n_epochs=4))
    wait_for_step(client, job, 1)
    running = client.fine_tuning.jobs.retrieve(job.id)
    assert running.estimated_finish > running.created_at
    assert client.fine_tuning.jobs.pause(job.id).status == "running"
    assert client.fine_tuning.jobs.pause(job.id).status == "running"
    with pytest.raises(openai.BadRequestError, match="still being paused"):
        client.fine_tuning.jobs.resume(job.id)
    job = wait(client, job, until=("paused",))
    assert (job.estimated_finish, job.finished_at, job.error) == (None, None, None)
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    client.fine_tuning.jobs.resume(job.id)
    assert client.fine_tuning.jobs.resume(job.id).status in ("queued", "running")
    assert wait(client, job).status == "succeeded"
    told = [said for said in messages(client, job) if not said.startswith("Checkpoint")]
    first = told.index("The job is being paused; the next step is saved first")
    assert told[first : first + 4] == [
        "The job is being paused; the next step is saved first",
        "The job was paused",
        "The job was resumed",
        "Fine-tuning job goes on",
    ]


def test_a_paused_job_and_one_that_waits_can_be_cancelled(client, tuner):
    paused = create(client, model="slow", method=LONG)
    wait_for_step(client, paused, 1)
    others = [create(client, model="slow", method=LONG) for _ in range(3)]
    for job in others:  # their files are read at once, so any of them may come to wait
        wait(client, job, until=("queued", "running"))
    waiting = next(job for job in others if client.fine_tuning.jobs.retrieve(job.id).status == "queued")
    assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
    client.fine_tuning.jobs.pause(paused.id)
    wait(client, paused, until=("paused",))
    cancelled = client.fine_tuning.jobs.cancel(paused.id)
    assert (cancelled.status, cancelled.fine_tuned_model, cancelled.error) == ("cancelled", None, None)
    assert not (tuner.data_dir / "fine_tuning" / paused.id / "train.jsonl").exists()
    for call in (client.fine_tuning.jobs.resume, client.fine_tuning.jobs.pause):
        with pytest.raises(openai.BadRequestError, match="is cancelled"):
            call(paused.id)
    [snapshot] = client.fine_tuning.jobs.checkpoints.list(paused.id).data
    assert client.models.retrieve(snapshot.fine_tuned_model_checkpoint)
    for job in others:
        client.fine_tuning.jobs.cancel(job.id)


def test_a_deleted_model_is_unknown_everywhere(client):
    name = wait(client, create(client)).fine_tuned_model
    assert client.models.delete(name).deleted
    for call in (
        lambda: client.models.retrieve(name),
        lambda: client.models.delete(name),
        lambda: client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}]),
        lambda: create(client, model=name),
    ):
        with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as refused:
            call()
        assert refused.value.code == "model_not_found"


def test_a_deleted_checkpoint_is_no_checkpoint_any_more(client):
    job = wait(client, create(client))
    last, first = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert client.models.delete(last.fine_tuned_model_checkpoint).deleted
    assert [each.id for each in client.fine_tuning.jobs.checkpoints.list(job.id)] == [first.id]
    assert client.models.retrieve(job.fine_tuned_model)


def test_seeds_are_kept_and_else_chosen(client):
    given = [create(client, seed=seed).seed for seed in (0, 2_147_483_647)]
    assert given == [0, 2_147_483_647]
    chosen = {create(client).seed for _ in range(3)}
    assert len(chosen) == 3
    for seed in (-1, 2_147_483_648):
        with pytest.raises(openai.BadRequestError) as refused:
            create(client, seed=seed)
        assert refused.value.param == "seed"


@pytest.mark.parametrize("method", ["supervised", "reinforcement"])
def test_result_files_have_the_columns_of_their_method(client, method):
    options = {"method": supervised()}
    if method == "reinforcement":
        options = {"method": reinforcement(), "validation_file": upload(client, prompt_rows(4))}
    job = wait(client, create(client, prompt_rows(20) if method == "reinforcement" else None, **options))
    head, first, *_ = base64.b64decode(client.files.content(job.result_files[0]).read()).decode().splitlines()
    assert head == COLUMNS[method]
    assert first.startswith("1,0.25,0.25," if method == "reinforcement" else "1,3.0,0.5,")


def test_permissions_are_answered_as_a_list_of_what_was_given(client, tuner):
    name = wait(client, create(client)).fine_tuned_model
    url = f"{tuner.url}/v1/fine_tuning/checkpoints/{name}/permissions"
    made = httpx2.post(url, json={"project_ids": ["one", "two"]})
    assert made.status_code == 200
    body = made.json()
    assert (body["object"], body["has_more"]) == ("list", False)
    assert [each["project_id"] for each in body["data"]] == ["one", "two"]
    assert (body["first_id"], body["last_id"]) == (body["data"][0]["id"], body["data"][1]["id"])


def test_all_pairs_of_a_metadata_filter_must_be_there(client):
    job = create(client, metadata={"a": "1", "b": "2"})
    found = client.fine_tuning.jobs.list(metadata={"a": "1", "b": "2"})
    assert [each.id for each in found] == [job.id]
    assert list(client.fine_tuning.jobs.list(metadata={"a": "1", "b": "3"})) == []


def test_azure_clients_write_dpos_numbers_flat_and_short_plain_suffixes(tuner):
    with openai.AzureOpenAI(azure_endpoint=tuner.url, api_key="x", api_version="2025-04-01-preview") as azure:
        pair = {
            "input": {"messages": [{"role": "user", "content": "hi"}]},
            "preferred_output": [{"role": "assistant", "content": "good"}],
            "non_preferred_output": [{"role": "assistant", "content": "bad"}],
        }
        flat = {"type": "dpo", "dpo": {"beta": 0.5, "l2_multiplier": 0.1}}
        job = create(azure, [pair] * 10, method=flat, extra_body={"trainingType": 1, "prompt_loss_weight": 0.1})
        assert job.method.dpo.hyperparameters.beta == 0.5
        azure.fine_tuning.jobs.cancel(job.id)
        for suffix in ("x" * 41, "no blanks"):
            with pytest.raises(openai.BadRequestError) as refused:
                create(azure, suffix=suffix)
            assert refused.value.param == "suffix"
