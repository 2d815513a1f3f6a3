"""Trainers as the server starts them: by command, alone or as several processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regrade.core.training_job import Done, Failed, Paused, Started
from training.jobs import events, log, make, metrics, run, supervised

ROWS = [supervised(n) for n in range(32)]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def command(folder, *launcher):
    launcher = launcher or (sys.executable,)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with folder.log_file.open("ab") as printed:
        arguments = [*launcher, "-m", "regrade.training", str(folder.path)]
        return subprocess.run(arguments, stdout=printed, stderr=printed, env=environment, timeout=110).returncode


@pytest.mark.long
def test_two_processes_train_as_one_and_tell_everything_once(tiny, tmp_path):
    alone = make(tmp_path / "alone", tiny, ROWS, ROWS[:4], batch_size=8, n_epochs=1)
    assert run(alone) == 0, log(alone)
    together = make(tmp_path / "together", tiny, ROWS, ROWS[:4], batch_size=8, n_epochs=1)
    assert command(together, *TORCHRUN) == 0, log(together)
    ours, theirs = metrics(together), metrics(alone)
    for name in ("train_loss", "train_mean_token_accuracy", "full_valid_loss"):
        assert [each.get(name) for each in ours.values()] == pytest.approx(
            [each.get(name) for each in theirs.values()], abs=2e-3
        )
    assert len(events(together, Started)) == len(events(together, Done)) == 1
    assert (together.model / "model.safetensors").exists()


@pytest.mark.long
def test_several_processes_pause_by_the_file_and_go_on(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, batch_size=8, n_epochs=2)
    folder.ask_pause()
    assert command(folder, *TORCHRUN) == 0, log(folder)
    assert [each.step for each in events(folder, Paused)] == [1]
    folder.withdraw_pause()
    assert command(folder) == 0, log(folder)
    assert [each.from_step for each in events(folder, Started)] == [0, 1]
    assert sorted(metrics(folder)) == list(range(1, 9))


def test_a_base_that_is_not_there_is_said(tmp_path):
    folder = make(tmp_path, tmp_path / "nothing", ROWS)
    assert run(folder) == 1
    failed = events(folder, Failed)[0]
    assert failed.code == "invalid_base_model"
    assert str(tmp_path / "nothing") in failed.message


def test_memory_and_disk_that_are_full_are_said_as_such():
    import torch

    from regrade.training.failures import explained

    with pytest.raises(RuntimeError) as full:
        torch.empty(1 << 60)
    assert explained(full.value).code == "out_of_memory"
    with pytest.raises(OSError, match="No space") as disk:
        Path("/dev/full").write_bytes(b"x")
    assert explained(disk.value).code == "disk_full"


def test_a_job_is_reported_to_weights_and_biases(tiny, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: pip install 'regrade[wandb]'")
    from regrade.core.training_job import Wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb = Wandb(project="tries", name="ftjob-1", run_id="r0000001", tags=("openai/finetune", "openai/ftjob-1"))
    folder = make(tmp_path, tiny, ROWS, n_epochs=1, wandb=wandb)
    assert command(folder) == 0, log(folder)
    (record,) = (folder.path / "wandb").glob("offline-run-*/run-r0000001.wandb")
    text = record.read_bytes()
    assert b"train/loss" in text
    assert b"openai/finetune" in text


def test_a_process_of_a_launcher_is_known_while_it_lives_and_ends_with_it(tiny, tmp_path):
    folder = make(tmp_path, tiny, ROWS, n_epochs=50)
    line = f"RANK=0 {sys.executable} -m regrade.training {folder.path} & wait"
    with folder.log_file.open("ab") as printed, subprocess.Popen(["sh", "-c", line], stderr=printed) as launcher:
        while not folder.entered:
            assert launcher.poll() is None, log(folder)
            time.sleep(0.01)
        launcher.kill()
    while folder.entered:
        time.sleep(0.01)
    assert not events(folder, Started)
