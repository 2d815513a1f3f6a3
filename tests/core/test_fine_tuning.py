"""Names, numbers and words of fine-tuning jobs."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.entities import FineTuningJob
from regrade.core.errors import ConfigurationError
from regrade.core.fine_tuning import (
    checkpoint_name,
    model_name,
    resolved,
    result_csv,
    seed_of,
    step_message,
    with_defaults,
)
from regrade.core.ids import PREFIXES, time_ordered
from regrade.core.training_options import TrainingOptions, read_training


def job(**given) -> FineTuningJob:
    values = {
        "id": "ftjob-67abd54d000000000123456789abcdef",
        "project": "Team.One",
        "status": "running",
        "model": "tiny",
        "base": "tiny",
        "created_at": 1,
        "training_file": "file-1",
        "validation_file": None,
        "training_blob": "files/1",
        "validation_blob": None,
        "suffix": None,
        "seed": 1,
        "azure": False,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {}}},
        "integrations": [],
        "metadata": None,
        **given,
    }
    return FineTuningJob(**values)


def test_models_are_named_as_on_the_hosted_services():
    assert re.fullmatch(r"ft:tiny:team-one::[0-9A-Za-z]{8}", model_name(job()))
    assert re.fullmatch(r"ft:tiny:team-one:my-own:[0-9A-Za-z]{8}", model_name(job(suffix="my own")))
    assert model_name(job(azure=True, suffix="x")) == "tiny.ft-67abd54d000000000123456789abcdef-x"
    assert checkpoint_name(job(), 88) == f"{model_name(job())}:ckpt-step-88"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_jobs_that_differ_have_models_and_seeds_of_their_own(one, other):
    first, second = (time_ordered(PREFIXES["job"], 10**18, bits) for bits in (one, other))
    assert 0 <= seed_of(first) < 2**31
    same = one % 62**8 == other % 62**8
    assert (model_name(job(id=first)) == model_name(job(id=second))) == same


def test_numbers_take_the_place_of_auto_and_nothing_else():
    hyperparameters = with_defaults("supervised", {"n_epochs": 3, "other": "kept"})
    assert hyperparameters == {
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "n_epochs": 3,
        "other": "kept",
    }
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}, "dpo": {}}
    numbers = {"batch_size": 8.0, "learning_rate_multiplier": 1.0, "n_epochs": 9}
    found = resolved(method, numbers)
    assert found["supervised"]["hyperparameters"] == {
        "batch_size": 8,
        "learning_rate_multiplier": 1.0,
        "n_epochs": 3,
        "other": "kept",
    }
    assert found["dpo"] == {}


def test_steps_are_told_in_the_hosted_words():
    step = {"step": 1, "total_steps": 300, "train_loss": 0.22}
    assert step_message("supervised", step) == "Step 1/300: training loss=0.22"
    assert step_message("dpo", {**step, "valid_loss": 0.5, "full_valid_loss": 0.25}) == (
        "Step 1/300: training loss=0.22, validation loss=0.50, full validation loss=0.25"
    )
    reward = {
        "step": 10,
        "total_steps": 20,
        "train_mean_reward": 0.42,
        "full_valid_mean_reward": 0.68,
        "full_valid_mean_parse_error": 0.0,
    }
    assert step_message("reinforcement", reward) == (
        "Step 10/20 , train mean reward=0.42, full validation mean reward=0.68, "
        "full validation mean parse error=0.00"
    )


def test_the_result_file_has_the_columns_of_both_services():
    steps = [{"step": 1, "total_steps": 2, "train_loss": 0.5, "train_mean_token_accuracy": 0.25}]
    table = csv.DictReader(io.StringIO(result_csv("supervised", steps).decode()))
    assert table.fieldnames == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
        "train_mean_token_accuracy",
        "validation_mean_token_accuracy",
        "full_valid_loss",
        "full_valid_mean_token_accuracy",
    ]
    [row] = table
    assert (row["train_accuracy"], row["train_mean_token_accuracy"], row["valid_loss"]) == ("0.25", "0.25", "")


def test_preferences_add_their_margins_to_the_result_file():
    steps = [{"step": 1, "total_steps": 1, "train_loss": 0.5, "reward_margin": 2.0}]
    [row] = csv.DictReader(io.StringIO(result_csv("dpo", steps).decode()))
    assert row["reward_margin"] == "2.0"


def test_training_options_are_read_with_their_defaults():
    assert read_training({}) == TrainingOptions()
    given = {"launch": "torchrun -m regrade.training '{job}'", "gpus": [[0, 1], [2, 3]]}
    read = read_training({"training": given})
    assert read.launch == ("torchrun", "-m", "regrade.training", "{job}")
    assert (read.gpus, read.slots) == (("0,1", "2,3"), 2)


@pytest.mark.parametrize(
    ("table", "param"),
    [
        ({"slot": 1}, "training.slot"),
        ({"slots": 0}, "training.slots"),
        ({"launch": "torchrun"}, "training.launch"),
        ({"launch": 3}, "training.launch"),
        ({"gpus": [[]]}, "training.gpus"),
        ({"grace_seconds": -1}, "training.grace_seconds"),
        ({"folder": ""}, "training.folder"),
    ],
)
def test_wrong_training_options_are_named(table, param):
    with pytest.raises(ConfigurationError) as refused:
        read_training({"training": table})
    assert refused.value.param == param
