"""Fine-tuning jobs as the SDK sees them: what they are asked, what they answer, what they leave behind."""

import base64
import csv
import io

import openai
import pytest

from tuning.bench import GRADER, create, events, messages, metrics, reinforcement, supervised, upload, wait
from tuning.bench import chat_rows as rows


@pytest.fixture(scope="module")
def done(tuner):
    """A job that has succeeded, and the client that made it."""
    with tuner.client() as client:
        validation = upload(client, rows(4))
        job = create(client, validation_file=validation, suffix="my model", metadata={"team": "a"})
        yield client, job, wait(client, job)


def test_a_new_job_is_answered_as_it_was_asked(done):
    _, new, _ = done
    assert new.status == "validating_files"
    assert new.model == "base"
    assert new.organization_id == "org-default"
    assert new.hyperparameters.n_epochs == 2
    assert new.hyperparameters.learning_rate_multiplier == "auto"
    assert new.method.supervised.hyperparameters.batch_size == 5
    assert (new.error, new.finished_at, new.fine_tuned_model, new.result_files) == (None, None, None, [])
    assert 0 <= new.seed < 2**31


def test_a_job_that_has_succeeded_says_what_came_of_it(done):
    _, new, job = done
    assert job.status == "succeeded"
    assert job.fine_tuned_model.startswith("ft:base:default:my-model:")
    assert len(job.fine_tuned_model.rpartition(":")[2]) == 8
    assert job.hyperparameters.learning_rate_multiplier == 1.0
    assert job.trained_tokens == 8 * 7
    assert (job.seed, job.metadata) == (new.seed, {"team": "a"})
    assert job.finished_at >= job.created_at
    assert job.estimated_finish is None


def test_events_tell_the_hosted_story_newest_first(done):
    client, _, job = done
    told = messages(client, job)
    assert told[:4] == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {job.training_file} and validation file: {job.validation_file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert told[-2:] == [
        f"New fine-tuned model created: {job.fine_tuned_model}",
        "The job has successfully completed",
    ]
    steps = [event for event in events(client, job) if event.type == "metrics"]
    assert [event.data["step"] for event in steps] == list(range(1, 9))
    assert steps[0].message == "Step 1/8: training loss=3.00"
    newest = client.fine_tuning.jobs.list_events(job.id, limit=2).data
    assert newest[0].message == "The job has successfully completed"


def test_the_result_file_has_every_step(done):
    client, _, job = done
    [file_id] = job.result_files
    text = base64.b64decode(client.files.content(file_id).read(), validate=True).decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["step"]) for row in table] == [data["step"] for data in metrics(client, job)]
    assert [float(row["train_loss"]) for row in table] == [data["train_loss"] for data in metrics(client, job)]
    assert client.files.retrieve(file_id).purpose == "fine-tune-results"


def test_azures_clients_get_the_result_file_plain(done, tuner):
    _, _, job = done
    with openai.AzureOpenAI(azure_endpoint=tuner.url, api_key="x", api_version="2025-04-01-preview") as azure:
        content = azure.files.content(job.result_files[0])
    assert content.read().startswith(b"step,train_loss,train_accuracy,valid_loss,")


def test_checkpoints_are_the_ends_of_epochs_the_highest_first(done):
    client, _, job = done
    found = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [each.step_number for each in found] == [8, 4]
    assert found[0].fine_tuned_model_checkpoint == f"{job.fine_tuned_model}:ckpt-step-8"
    assert found[0].metrics.train_loss == 3.0 / 8
    page = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)
    assert page.has_more
    assert [each.step_number for each in page.get_next_page().data] == [4]


def test_only_the_last_three_checkpoints_are_kept(client):
    job = wait(client, create(client, method=supervised(n_epochs=5)))
    found = [each.step_number for each in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert found == [20, 16, 12]
    names = {model.id for model in client.models.list()}
    assert f"{job.fine_tuned_model}:ckpt-step-12" in names
    assert f"{job.fine_tuned_model}:ckpt-step-8" not in names


def test_jobs_are_listed_newest_first_and_found_by_metadata(client):
    one = create(client, metadata={"group": "one", "kind": "x"})
    two = create(client, metadata={"group": "two", "kind": "x"})
    bare = create(client)
    assert [job.id for job in client.fine_tuning.jobs.list(limit=3)][:3] == [bare.id, two.id, one.id]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"group": "one"})] == [one.id]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"kind": "x"}, limit=1)] == [two.id, one.id]
    without = client.fine_tuning.jobs.list(extra_query={"metadata": "null"})
    assert bare.id in [job.id for job in without]
    assert one.id not in [job.id for job in without]
    for job in (one, two, bare):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_tuned_model_can_be_tuned_further_and_keeps_its_base(done):
    client, _, job = done
    again = wait(client, create(client, model=job.fine_tuned_model, suffix="more"))
    assert again.model == job.fine_tuned_model
    assert again.fine_tuned_model.startswith("ft:base:default:more:")


def test_azures_models_are_named_as_there(tuner):
    with openai.AzureOpenAI(azure_endpoint=tuner.url, api_key="x", api_version="2025-04-01-preview") as azure:
        job = wait(azure, create(azure, suffix="mine"))
    assert job.fine_tuned_model == f"base.ft-{job.id.removeprefix('ftjob-')}-mine"


def test_deleting_a_tuned_model_takes_it_from_the_list_and_frees_its_files(client, tuner):
    job = wait(client, create(client))
    folder = tuner.data_dir / "fine_tuning" / job.id / "model"
    assert folder.is_dir()
    assert client.models.retrieve(job.fine_tuned_model).owned_by == "default"
    assert client.models.delete(job.fine_tuned_model).deleted
    assert job.fine_tuned_model not in {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(job.fine_tuned_model)
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("base")


def test_a_wandb_integration_is_answered_with_its_run(client):
    wandb = {"project": "p", "tags": ["first"]}
    job = create(client, integrations=[{"type": "wandb", "wandb": wandb}])
    [integration] = job.integrations
    assert (integration.type, integration.wandb.project) == ("wandb", "p")
    assert integration.wandb.model_extra["run_id"] == job.id
    client.fine_tuning.jobs.cancel(job.id)


@pytest.mark.parametrize(
    ("options", "param", "words"),
    [
        ({"model": "nope"}, "model", "Model nope is not available for fine-tuning or does not exist"),
        ({"model": "ft:base:default::12345678"}, "model", "not available for fine-tuning"),
        ({"training_file": "file-none"}, "training_file", "No such File object: file-none"),
        ({"validation_file": "file-none"}, "validation_file", "No such File object: file-none"),
        ({"suffix": "x" * 65}, "suffix", "at most 64"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"method": supervised(n_epochs=51)}, "method.supervised.hyperparameters.n_epochs", "50"),
        ({"method": supervised(batch_size="many")}, "method.supervised.hyperparameters.batch_size", "integer"),
        ({"method": {"type": "magic"}}, "method.type", "supervised"),
        ({"method": {"type": "reinforcement"}}, "method.reinforcement.grader", "Missing required parameter"),
        ({"method": reinforcement()}, "validation_file", "needs a 'validation_file'"),
        (
            {"method": {"type": "reinforcement", "reinforcement": {"grader": {**GRADER, "input": "{{foo.bar}}"}}}},
            "method.reinforcement.grader.input",
            "foo",
        ),
        ({"metadata": {"k": "v" * 513}}, "metadata", "512"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_field(client, options, param, words):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **options)
    assert refused.value.param == param
    assert words in refused.value.message


def test_files_of_another_purpose_are_refused(client):
    file = client.files.create(file=("rows.jsonl", b"{}"), purpose="evals")
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="base", training_file=file.id)
    assert refused.value.code == "invalid_file_purpose"


def test_an_unknown_job_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert missing.value.code == "fine_tune_not_found"


def test_blocks_of_other_methods_and_unknown_fields_come_back(client):
    method = {**supervised(), "dpo": {"hyperparameters": {"beta": 9}}}
    job = create(client, method=method, extra_body={"trainingType": 1})
    assert job.method.dpo.hyperparameters.beta == 9
    assert job.model_extra["trainingType"] == 1
    client.fine_tuning.jobs.cancel(job.id)
