"""Supervised jobs."""

import json
import signal

import pytest

from regrade.core.training_job import CheckpointSaved, Done, Paused, Started
from training.jobs import asked, events, log, make, metrics, run, stop_at, supervised, weights

# Pairs of product and trouble of the validation rows do not occur in training.
VALID = [supervised(n) for n in (1, 6, 11, 12)]
ROWS = [supervised(n) for n in range(86) if supervised(n) not in VALID][:64]


@pytest.fixture(scope="module")
def job(tiny, tmp_path_factory):
    """A job of 24 steps that was never interrupted."""
    folder = make(tmp_path_factory.mktemp("whole"), tiny, ROWS, VALID, n_epochs=6, learning_rate=5e-3)
    assert run(folder) == 0, log(folder)
    return folder


def test_every_parameter_changes_and_unseen_answers_become_likely(job, tiny):
    before, after = weights(tiny), weights(job.model)
    assert before.keys() == after.keys()
    assert not [name for name in before if before[name].equal(after[name])]
    told = metrics(job)
    assert told[24]["full_valid_loss"] < told[4]["full_valid_loss"] / 2
    assert told[24]["full_valid_mean_token_accuracy"] > told[4]["full_valid_mean_token_accuracy"]


def test_what_is_told_is_what_the_trainer_logged(job):
    logged = json.loads((job.checkpoint(24) / "trainer_state.json").read_text())["log_history"]
    losses = {entry["step"]: entry["loss"] for entry in logged if "loss" in entry}
    validated = {entry["step"]: entry["eval_loss"] for entry in logged if "eval_loss" in entry}
    told = metrics(job)
    assert {step: found["train_loss"] for step, found in told.items()} == losses
    assert {step: found["valid_loss"] for step, found in told.items() if "valid_loss" in found} == validated
    assert sorted(validated) == [4, 8, 12, 16, 20, 24]


def test_checkpoints_are_one_an_epoch_and_the_last_three_are_kept(job):
    assert [each.step for each in events(job, CheckpointSaved)] == [4, 8, 12, 16, 20, 24]
    assert job.complete_checkpoints() == [16, 20, 24]


def test_tokens_are_those_of_all_rows_times_the_epochs(job, tiny):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in ROWS]
    tokens = sum(len(tokenizer(row, add_special_tokens=False)["input_ids"]) for row in rows)
    assert events(job, Started)[0].tokens == tokens
    assert events(job, Done)[0].trained_tokens == tokens * 6


def test_the_model_says_what_it_was_made_from(job):
    card = (job.model / "README.md").read_text()
    for fact in ("ft:tiny:default::abcdefgh", "file-train", "file-valid", "ftjob-1", "0.005", "valid_loss"):
        assert fact in card


def test_a_job_that_was_paused_and_killed_ends_as_if_it_had_not_been(job, tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, n_epochs=6, learning_rate=5e-3)
    assert stop_at(folder, 5, signal.SIGTERM) == 75
    paused = events(folder, Paused)[-1].step
    assert paused in folder.complete_checkpoints()
    assert stop_at(folder, paused + 5, signal.SIGKILL) == -signal.SIGKILL
    (folder.checkpoints / "checkpoint-99").mkdir()
    assert run(folder) == 0, log(folder)
    assert [each.from_step for each in events(folder, Started)][:2] == [0, paused]
    assert metrics(folder) == metrics(job)
    assert (folder.model / "model.safetensors").read_bytes() == (job.model / "model.safetensors").read_bytes()
    assert not (folder.checkpoints / "checkpoint-99").exists()


def test_a_pause_can_be_asked_for_by_a_file(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, n_epochs=1)
    folder.ask_pause()
    assert run(folder) == 75, log(folder)
    folder.withdraw_pause()
    assert run(folder) == 0, log(folder)
    assert [each.from_step for each in events(folder, Started)] == [0, 1]


def test_a_job_killed_after_its_last_step_only_writes_its_model(job, tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, n_epochs=6, learning_rate=5e-3)
    folder.checkpoints.mkdir()
    last = folder.checkpoint(24)
    last.mkdir()
    for file in job.checkpoint(24).iterdir():
        (last / file.name).write_bytes(file.read_bytes())
    assert run(folder) == 0, log(folder)
    assert metrics(folder) == {}
    assert (folder.model / "model.safetensors").read_bytes() == (job.model / "model.safetensors").read_bytes()


def test_accumulated_gradients_are_those_of_the_whole_batch(job, tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, n_epochs=6, learning_rate=5e-3, rows_at_once=3)
    assert run(folder) == 0, log(folder)
    first, whole = metrics(folder), metrics(job)
    assert [first[step]["train_loss"] for step in (1, 6, 12)] == pytest.approx(
        [whole[step]["train_loss"] for step in (1, 6, 12)], rel=1e-3
    )


def test_an_adapter_is_trained_on_a_base_that_stays_as_it_is(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, VALID, tuning="lora", lora_rank=8, learning_rate=5e-3)
    assert run(folder) == 0, log(folder)
    adapter = weights(folder.model, "adapter_model.safetensors")
    assert all(bool(each.abs().sum() > 0) for each in adapter.values())
    assert not (folder.model / "model.safetensors").exists()
    further = make(
        tmp_path / "further", tiny, ROWS, base_adapter=str(folder.model), tuning="lora", lora_rank=8, n_epochs=1
    )
    assert run(further) == 0, log(further)
    changed = weights(further.model, "adapter_model.safetensors")
    assert not [name for name, each in adapter.items() if changed[name].equal(each)]
    assert metrics(further)[1]["train_loss"] < metrics(folder)[1]["train_loss"]


def test_prompts_and_completions_train_a_base_without_a_template(tiny, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in tiny.iterdir():
        if file.name != "chat_template.jinja":
            (bare / file.name).write_bytes(file.read_bytes())
    rows = [{"prompt": f"{n} is", "completion": " even" if n % 2 == 0 else " odd"} for n in range(32)]
    folder = make(tmp_path, bare, rows, n_epochs=4, learning_rate=5e-3)
    assert run(folder) == 0, log(folder)
    assert metrics(folder)[8]["train_loss"] < metrics(folder)[1]["train_loss"]


def test_rows_too_long_to_learn_from_are_said(tiny, tmp_path):
    from regrade.core.training_job import Failed

    folder = make(tmp_path, tiny, [asked("much " * 100, "yes") for _ in range(10)], max_length=16)
    assert run(folder) == 1
    failed = events(folder, Failed)[0]
    assert (failed.code, "16 tokens" in failed.message) == ("invalid_training_file", True)


def test_a_checkpoint_against_crashes_is_saved_in_time_and_does_not_stay(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, n_epochs=1, checkpoint_seconds=0)
    assert run(folder) == 0, log(folder)
    assert [(each.step, each.asked_for) for each in events(folder, CheckpointSaved)] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]
    assert folder.complete_checkpoints() == [4]
