"""Where jobs train: on a server's machine, on machines of their own, and on another one when theirs is gone."""

import openai
import pytest

from grading_workers import GradingWorker
from regrade import outside, settings
from servers import serving
from tuning.bench import configure, create, messages, metrics, processes_of, supervised, wait, wait_for_step

QUICK = ("--worker-takeover-seconds", "2")


@pytest.fixture
def config(tmp_path):
    return configure(tmp_path, {"base": {}, "slow": {"step_s": 0.3}}, training='folder = "shared"')


@pytest.fixture
def server(tmp_path, config):
    """The API alone."""
    with serving(tmp_path / "data", "--config", str(config), "--workers", "0") as running:
        yield running


@pytest.fixture
def machines(server, config):
    """Start `regrade worker` as another machine would, with these flags."""
    started = []

    def start(*flags, config=config):
        started.append(GradingWorker(server.data_dir, "--config", str(config), *QUICK, *flags))
        return started[-1]

    yield start
    for worker in started:
        if worker.lives:
            worker.kill()


def test_a_server_without_workers_trains_once_a_machine_does(server, machines):
    client = server.client(max_retries=0)
    machines().wait_until_ready()
    with pytest.raises(openai.BadRequestError, match="regrade worker --train") as refused:
        create(client)
    assert refused.value.code == "missing_dependency"
    machines("--train").wait_until_ready()
    assert wait(client, create(client)).status == "succeeded"


def test_when_a_machine_is_gone_another_one_goes_on_from_the_last_checkpoint(server, machines):
    client = server.client(max_retries=0)
    first = machines("--train").wait_until_ready()
    job = create(client, model="slow", method=supervised(n_epochs=6))
    wait_for_step(client, job, 5)
    machines("--train").wait_until_ready()
    first.kill()
    for process in processes_of(job):
        process.kill()
    job = wait(client, job)
    assert job.status == "succeeded"
    assert [data["step"] for data in metrics(client, job)] == list(range(1, 25))
    told = [said for said in messages(client, job) if said.startswith("The trainer ended without a word")]
    assert len(told) == 1
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data[0].step_number == 24


def test_a_machine_with_another_folder_does_not_train_beside_one_that_does(server, machines, tmp_path):
    machines("--train").wait_until_ready()
    elsewhere = configure(tmp_path / "elsewhere", {"base": {}}, training='folder = "own"')
    refused = machines("--train", config=elsewhere)
    assert refused.process.wait(60) == 2
    machines(config=elsewhere).wait_until_ready()


def test_a_job_whose_folder_is_lost_starts_over(server, machines, config, tmp_path):
    client = server.client(max_retries=0)
    first = machines("--train").wait_until_ready()
    job = create(client, model="slow", method=supervised(n_epochs=2))
    wait_for_step(client, job, 5)
    client.fine_tuning.jobs.pause(job.id)
    job = wait(client, job, until=("paused",))
    client.files.delete(job.training_file)
    assert first.stop() == 0
    config.write_text(config.read_text().replace('"shared"', '"another"'))
    machines("--train").wait_until_ready()
    client.fine_tuning.jobs.resume(job.id)
    job = wait(client, job)
    assert job.status == "succeeded"
    assert "What the job has saved is not on this machine; it starts over" in messages(client, job)
    assert [data["step"] for data in metrics(client, job)] == list(range(1, 9))
    assert [each.step_number for each in client.fine_tuning.jobs.checkpoints.list(job.id)] == [8, 4]


def test_rewards_are_asked_for_at_the_public_url_where_the_server_is_on_another_machine(server, tmp_path):
    flags = {"data_dir": str(server.data_dir), "public_url": "https://evals.example.com"}
    here = settings.load(flags, environ={})
    assert outside.server_url(here, far=False) == server.url
    elsewhere = settings.load({**flags, "data_dir": str(tmp_path / "elsewhere")}, environ={})
    assert outside.server_url(elsewhere, far=False) == "https://evals.example.com"
