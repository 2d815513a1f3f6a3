"""The job directory, seen from both sides."""

import pytest

from regrade.core.training_job import Done, Grading, Message, Metrics, Spec, Wandb, event
from regrade.training.job import JobFolder

SPEC = Spec(
    job_id="ftjob-1",
    method="reinforcement",
    base_model="tiny",
    base_path="models/tiny",
    model_name="ft:tiny:default::abc",
    training_file="file-1",
    seed=1,
    n_epochs=1,
    batch_size=4,
    eval_interval=2,
    grading=Grading(url="http://127.0.0.1:1/grade", token="secret"),
    wandb=Wandb(project="p", name="n", run_id="r", tags=("a",)),
)


@pytest.fixture
def folder(tmp_path):
    return JobFolder(tmp_path / "job")


def test_a_spec_comes_back_as_it_was_and_is_private(folder):
    folder.write_spec(SPEC)
    assert folder.spec() == SPEC
    assert (folder.path / "spec.json").stat().st_mode & 0o077 == 0
    assert "secret" not in repr(SPEC)


def test_events_are_read_on_from_where_reading_ended(folder):
    folder.path.mkdir()
    assert folder.told(0) == ([], 0)
    one = Message(at=1, level="info", message="One")
    two = Metrics(at=2, step=1, total_steps=2, trained_tokens=3, metrics={"train_loss": 0.5})
    folder.append([one])
    events, offset = folder.told()
    folder.append([two])
    assert events == [one]
    assert folder.told(offset).events == [two]


def test_a_torn_line_is_not_read_until_it_is_whole_and_passed_over_when_it_never_is(folder):
    folder.path.mkdir()
    folder.append([Message(at=1, level="info", message="One")])
    with folder.events_file.open("ab") as stream:
        stream.write(b'{"kind": "done", "at": 2, "st')
    events, offset = folder.told()
    assert len(events) == 1
    folder.append([Done(at=3, step=2, trained_tokens=5)])
    assert folder.told(offset).events == [Done(at=3, step=2, trained_tokens=5)]


def test_events_of_newer_trainers_are_passed_over():
    assert event({"kind": "sang", "at": 1}) is None
    assert event({"kind": "done", "at": 1, "step": 2, "trained_tokens": 3, "mood": "good"}) == Done(
        at=1, step=2, trained_tokens=3
    )


def test_only_marked_checkpoints_are_complete(folder):
    for step in (5, 10, 15):
        folder.checkpoint(step).mkdir(parents=True)
        (folder.checkpoint(step) / "weights").write_bytes(b"x")
    folder.mark_complete(5)
    folder.mark_complete(10)
    assert folder.complete_checkpoints() == [5, 10]
    folder.remove_torn()
    assert not folder.checkpoint(15).exists()
    folder.remove_checkpoint(5)
    assert folder.complete_checkpoints() == [10]


def test_rewards_are_told_by_step(folder):
    folder.path.mkdir()
    assert folder.rewards() == {}
    folder.write_rewards({10: 0.5, 20: 0.75})
    assert folder.rewards() == {10: 0.5, 20: 0.75}


def test_a_model_is_there_as_a_whole(folder):
    made = folder.path / "making"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    folder.model.mkdir()
    (folder.model / "old").write_text("")
    folder.publish_model(made)
    assert [each.name for each in folder.model.iterdir()] == ["config.json"]
