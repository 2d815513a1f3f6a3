"""The operator's launch command: what it starts, how that pauses and ends, and what it sees of the machine."""

import psutil
import pytest

from tuning.bench import (
    create,
    events,
    messages,
    metrics,
    processes_of,
    supervised,
    tuning_server,
    wait,
    wait_for_step,
)
from tuning.real import real_server, rows

LONG = supervised(n_epochs=50, batch_size=16)


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A server whose jobs are trained by two processes each."""
    pytest.importorskip("trl", reason="fine-tuning is not installed: pip install 'regrade[train]'")
    command = "torchrun --standalone --nproc_per_node 2 -m regrade.training {job}"
    training = f'[training]\nlaunch = "{command}"\ngrace_seconds = 60\n'
    folder = tmp_path_factory.mktemp("launched")
    with real_server(folder, training=training) as server, server.client(max_retries=0) as client:
        yield client


@pytest.mark.timeout(240)
def test_torchrun_trains_pauses_and_goes_on_and_one_process_tells(launched):
    client = launched
    job = create(client, rows(64), method=supervised(n_epochs=30, batch_size=16))
    wait_for_step(client, job, 1, seconds=120)
    client.fine_tuning.jobs.pause(job.id)
    job = wait(client, job, until=("paused",))
    [snapshot, *_] = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert snapshot.step_number == max(data["step"] for data in metrics(client, job))
    client.fine_tuning.jobs.resume(job.id)
    job = wait(client, job, seconds=120)
    assert job.status == "succeeded", (job.error, messages(client, job))
    told = metrics(client, job)
    assert [data["step"] for data in told] == list(range(1, 121))
    assert told[-1]["train_loss"] < told[0]["train_loss"] / 10
    assert sum(event.message.startswith("Training on 64 examples") for event in events(client, job)) == 1
    assert not any("ended without a word" in told for told in messages(client, job))


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("killed", [False, True])
def test_every_process_ends_with_a_cancelled_job_also_where_its_launcher_is_dead(launched, killed):
    client = launched
    job = create(client, rows(64), method=LONG)
    wait_for_step(client, job, 1, seconds=120)
    processes = processes_of(job)
    assert len(processes) >= 3
    if killed:
        min(processes, key=lambda each: each.create_time()).kill()
    client.fine_tuning.jobs.cancel(job.id)
    _, left = psutil.wait_procs(processes, timeout=60)
    assert left == []


@pytest.mark.parametrize(
    ("command", "said"), [("no-such-launcher {job}", "no-such-launcher"), ("sh -c 'exit 3' {job}", "exit 3")]
)
def test_a_launch_command_that_does_not_work_fails_the_job_and_is_named(tmp_path, command, said):
    with tuning_server(tmp_path, {"base": {}}, launch=command) as server, server.client() as client:
        job = wait(client, create(client))
    assert (job.status, job.error.code) == ("failed", "server_error")
    assert f"The trainer that is started by `{command}` ended before it could begin." in job.error.message
    assert said in job.error.message


def test_each_slot_sees_its_own_gpus_and_a_job_without_one_waits(tmp_path):
    bases = {"base": {"shows": "CUDA_VISIBLE_DEVICES", "step_s": 0.3}}
    with tuning_server(tmp_path, bases, training="gpus = [[0, 1], ['GPU-2']]") as server:
        client = server.client(max_retries=0)
        jobs = [create(client, method=LONG) for _ in range(3)]
        for job in jobs[:2]:
            wait_for_step(client, job, 1)
        seen = {said for job in jobs for said in messages(client, job) if "CUDA" in said}
        assert seen == {"CUDA_VISIBLE_DEVICES=0,1", "CUDA_VISIBLE_DEVICES=GPU-2"}
        assert client.fine_tuning.jobs.retrieve(jobs[2].id).status == "queued"
        client.fine_tuning.jobs.cancel(jobs[1].id)
        freed = next(said for said in messages(client, jobs[1]) if "CUDA" in said)
        wait_for_step(client, jobs[2], 1)
        assert freed in messages(client, jobs[2])
        for job in jobs:
            client.fine_tuning.jobs.cancel(job.id)
