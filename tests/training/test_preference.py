"""Preference jobs."""

import signal

import pytest

from regrade.core.training_job import Failed, Started
from training.jobs import events, log, make, metrics, preference, run, stop_at, weights

VALID = [preference(n) for n in (1, 6, 11, 12)]
ROWS = [preference(n) for n in range(86) if preference(n) not in VALID][:64]


@pytest.fixture(scope="module")
def job(tiny, tmp_path_factory):
    """A job of 12 steps that was never interrupted."""
    folder = make(tmp_path_factory.mktemp("pairs"), tiny, ROWS, VALID, method="dpo", n_epochs=3, learning_rate=1e-3)
    assert run(folder) == 0, log(folder)
    return folder


def test_every_parameter_changes_and_unseen_pairs_are_told_apart(job, tiny):
    before, after = weights(tiny), weights(job.model)
    assert not [name for name in before if before[name].equal(after[name])]
    told = metrics(job)
    assert told[12]["full_valid_loss"] < told[4]["full_valid_loss"] < 0.7
    assert told[12]["full_valid_reward_margin"] > told[4]["full_valid_reward_margin"] > 0
    assert told[12]["full_valid_reward_accuracy"] == 1


def test_how_likely_the_answers_are_is_told_besides_the_margin(job):
    told = metrics(job)[12]
    assert told["train_preferred_logprob"] > told["train_non_preferred_logprob"]


def test_a_smaller_beta_means_smaller_margins(job, tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, method="dpo", n_epochs=3, learning_rate=1e-3, beta=0.01)
    assert run(folder) == 0, log(folder)
    assert metrics(folder)[12]["full_valid_reward_margin"] < metrics(job)[12]["full_valid_reward_margin"] / 2


def test_a_job_that_was_paused_and_killed_ends_as_if_it_had_not_been(job, tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, method="dpo", n_epochs=3, learning_rate=1e-3)
    assert stop_at(folder, 3, signal.SIGTERM) == 75
    assert stop_at(folder, 9, signal.SIGKILL) == -signal.SIGKILL
    assert run(folder) == 0, log(folder)
    assert metrics(folder) == metrics(job)
    assert (folder.model / "model.safetensors").read_bytes() == (job.model / "model.safetensors").read_bytes()


def test_an_adapter_has_its_base_as_reference(tiny, tmp_path):
    folder = make(
        tmp_path, tiny, ROWS, VALID, method="dpo", tuning="lora", lora_rank=8, n_epochs=1, learning_rate=5e-3
    )
    assert run(folder) == 0, log(folder)
    assert events(folder, Started)[0].trained_parameters < events(folder, Started)[0].parameters
    assert metrics(folder)[4]["full_valid_reward_margin"] > 0
    assert (folder.model / "adapter_model.safetensors").exists()


def test_a_prompt_that_leaves_no_room_is_said_with_its_row(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, method="dpo", max_length=4)
    assert run(folder) == 1
    failed = events(folder, Failed)[0]
    assert failed.code == "invalid_training_file"
    assert failed.message.startswith("Row 1 of the training file:")
