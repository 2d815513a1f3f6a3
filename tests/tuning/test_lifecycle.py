"""Jobs pause, go on, end and survive: trainers, workers and servers may be killed at any moment."""

import time

import openai
import psutil
import pytest

from regrade.training.job import JobFolder
from tuning.bench import (
    create,
    last_step,
    messages,
    metrics,
    prompt_rows,
    reinforcement,
    supervised,
    tuning_server,
    upload,
    wait,
    wait_for_step,
)

LONG = supervised(n_epochs=10)  # 40 steps


def trainers(server):
    """Processes that train for this server, whoever is their parent now."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if any(str(server.data_dir) in word for word in line) and any(word.endswith("trainer.py") for word in line):
            found.append(process)
    return found


def worker(server):
    children = psutil.Process(server.process.pid).children(recursive=True)
    return next(each for each in children if "regrade.supervised" in " ".join(each.cmdline()))


def test_a_paused_job_has_a_checkpoint_and_goes_on_from_it(client):
    job = create(client, model="slow", method=supervised(n_epochs=4))
    wait_for_step(client, job, 2)
    client.fine_tuning.jobs.pause(job.id)
    job = wait(client, job, until=("paused",))
    step = last_step(client, job)
    [snapshot, *_] = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert snapshot.step_number == step
    assert snapshot.fine_tuned_model_checkpoint in {model.id for model in client.models.list()}
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    job = wait(client, job)
    assert job.status == "succeeded"
    assert [data["step"] for data in metrics(client, job)] == list(range(1, 17))
    assert messages(client, job).count("Fine-tuning job started") == 1


def test_a_job_is_not_paused_before_its_first_step_nor_after_its_end(client):
    job = create(client, model="slow")
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.pause(job.id)
    assert refused.value.code == "invalid_state"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.resume(job.id)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.pause(job.id)


def test_a_cancelled_job_ends_its_trainer_and_stays_as_it_is(client, tuner):
    job = create(client, model="slow", method=LONG)
    wait_for_step(client, job, 1)
    [trainer] = [each for each in trainers(tuner) if job.id in " ".join(each.cmdline())]
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at
    psutil.wait_procs([trainer], timeout=20)
    assert not trainer.is_running()
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert messages(client, job)[-1] == "The job was cancelled"


def test_a_job_that_has_succeeded_cannot_be_cancelled(client):
    job = wait(client, create(client))
    with pytest.raises(openai.BadRequestError, match="succeeded"):
        client.fine_tuning.jobs.cancel(job.id)


def test_what_a_trainer_says_of_its_failure_is_the_jobs_error(client):
    job = wait(client, create(client, model="greedy"), until=("failed",))
    assert job.error.code == "out_of_memory"
    assert job.error.message == "The GPU has 1 GiB less than is needed. Make the batch smaller."
    assert job.error.param is None


def test_a_trainer_that_cannot_begin_fails_the_job_with_its_last_words(client):
    job = wait(client, create(client, model="mute"), until=("failed",))
    assert job.error.code == "server_error"
    assert "There is no such device." in job.error.message


def test_a_trainer_that_is_killed_is_followed_by_another_and_no_step_is_told_twice(client):
    job = wait(client, create(client, model="mortal", method=supervised(n_epochs=3)))
    assert job.status == "succeeded"
    assert [data["step"] for data in metrics(client, job)] == list(range(1, 13))
    assert any("another one goes on from what was saved" in told for told in messages(client, job))


def test_a_worker_that_is_killed_finds_the_same_trainer_again(client, tuner):
    job = create(client, model="slow", method=LONG)
    wait_for_step(client, job, 2)
    [trainer] = [each for each in trainers(tuner) if job.id in " ".join(each.cmdline())]
    worker(tuner).kill()
    step = last_step(client, job)
    wait_for_step(client, job, step + 6)
    assert trainer.is_running()
    client.fine_tuning.jobs.cancel(job.id)
    psutil.wait_procs([trainer], timeout=20)


def test_a_server_that_is_killed_finds_its_jobs_as_they_are_now(tmp_path):
    bases = {"slow": {"step_s": 0.3}}
    with tuning_server(tmp_path, bases) as server:
        client = server.client(max_retries=0)
        job = create(client, model="slow", method=supervised(n_epochs=50))  # 200 steps
        wait_for_step(client, job, 2)
        [trainer] = trainers(server)
        server.kill()
    with tuning_server(tmp_path, bases) as server:
        client = server.client(max_retries=0)
        assert trainer.is_running()
        wait_for_step(client, job, last_step(client, job) + 4)
        trainer.kill()  # its trainer, too: the next goes on from the last checkpoint
        wait_for_step(client, job, last_step(client, job) + 4)
        told = [data["step"] for data in metrics(client, job)]
        assert told == list(range(1, len(told) + 1))
        client.fine_tuning.jobs.cancel(job.id)


def test_a_trainer_is_told_where_rewards_come_from_after_a_restart(tmp_path):
    bases = {"slow": {"step_s": 0.3}}
    with tuning_server(tmp_path, bases) as server:
        client = server.client(max_retries=0)
        validation = upload(client, prompt_rows(4))
        options = {"validation_file": validation, "method": reinforcement(n_epochs=50)}
        job = create(client, prompt_rows(20), model="slow", **options)
        wait_for_step(client, job, 1)
        server.kill()
    with tuning_server(tmp_path, bases) as server:
        client = server.client(max_retries=0)
        folder = JobFolder(server.data_dir / "fine_tuning" / job.id)
        url = f"{server.url}/regrade/fine_tuning/jobs/{job.id}/grade"
        deadline = time.monotonic() + 30
        while folder.spec().grading.url != url:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        client.fine_tuning.jobs.cancel(job.id)
