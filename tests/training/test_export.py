"""Models as folders for others; nothing here needs torch."""

import json

import pytest

from regrade.core.training_job import Metrics, Spec, Started
from regrade.training.export import base_card, checkpoint_card, export
from regrade.training.job import JobFolder

WEIGHTS = {"model.safetensors": b"w" * 1000, "config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}"}
OF_THE_TRAINER = (
    "COMPLETE",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "training_args.bin",
)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, content in WEIGHTS.items():
        (source / name).write_bytes(content)
    for name in OF_THE_TRAINER:
        (source / name).write_bytes(b"x")
    return source


def contents(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_weights_tokenizer_and_card_are_copied_and_nothing_of_the_trainers(folder, tmp_path):
    size = export(folder, tmp_path / "there" / "out", card="# A card\n")
    found = contents(tmp_path / "there" / "out")
    assert found == {**WEIGHTS, "README.md": b"# A card\n"}
    assert size == sum(len(each) for each in found.values())


def test_a_model_keeps_its_own_card(folder, tmp_path):
    (folder / "README.md").write_text("# Mine\n")
    export(folder, tmp_path / "out", card="# Another\n")
    assert (tmp_path / "out" / "README.md").read_text() == "# Mine\n"


def test_what_an_export_that_was_killed_left_is_no_trouble(folder, tmp_path):
    (tmp_path / ".out.export").mkdir()
    (tmp_path / ".out.export" / "torn.safetensors").write_bytes(b"half")
    export(folder, tmp_path / "out", card="# A card\n")
    assert set(contents(tmp_path / "out")) == {*WEIGHTS, "README.md"}
    assert not (tmp_path / ".out.export").exists()


def test_a_folder_that_holds_something_is_left_alone(folder, tmp_path):
    (tmp_path / "out").mkdir()
    export(folder, tmp_path / "out", card="# A card\n")  # an empty one is none
    with pytest.raises(FileExistsError, match="holds something already"):
        export(folder, tmp_path / "out", card="# A card\n")


def test_the_card_of_a_checkpoint_says_what_it_was_made_from(tmp_path):
    job = JobFolder(tmp_path / "job")
    job.write_spec(
        Spec(
            job_id="ftjob-1",
            model_name="ft:tiny:default::abcdefgh",
            method="supervised",
            base_model="tiny",
            base_path="/models/tiny",
            seed=7,
            training_file="file-train",
            n_epochs=2,
            batch_size=8,
            eval_interval=2,
        )
    )
    facts = {"pid": 1, "from_step": 0, "total_steps": 4, "learning_rate": 0.002, "parameters": 9, "tokens": 9}
    facts |= {"trained_parameters": 9, "train_rows": 9, "valid_rows": 0, "rows_cut": 0}
    steps = [
        Metrics(at=2, step=step, total_steps=4, trained_tokens=step, metrics={"train_loss": 1 / step})
        for step in (1, 2)
    ]
    job.append([Started(at=1, **facts), *steps])
    card = checkpoint_card(job.path, "ft:tiny:default::abcdefgh:ckpt-step-2", 2)
    assert "# ft:tiny:default::abcdefgh:ckpt-step-2\n\nThe checkpoint of step 2." in card
    for fact in ("base_model: tiny", "file-train", "| learning_rate | 0.002 |", "| train_loss | 0.5 |"):
        assert fact in card


def test_a_base_model_has_a_card_of_its_own():
    assert "# tiny" in base_card("tiny", json.loads(WEIGHTS["config.json"]))
