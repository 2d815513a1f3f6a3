"""Reinforcement jobs, rewarded by a grading route over a socket."""

import json
import signal

import pytest

from grading_route import equal, graders, rewards, said
from regrade.core.jsontext import loads
from regrade.core.training_job import CheckpointRemoved, Failed, Message, Validation
from training.jobs import events, log, make, metrics, prompt, run, stop_at, weights

ROWS = [prompt(n) for n in range(16)]
VALID = [prompt(n) for n in range(100, 104)]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}
GIVEN = {"method": "reinforcement", "batch_size": 4, "max_completion_tokens": 6, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def route():
    with graders(equal) as running:
        yield running


@pytest.fixture(scope="module")
def job(halfway, route, tmp_path_factory):
    """Sixteen steps from a base that says yes or no, where yes is rewarded; never interrupted."""
    path = tmp_path_factory.mktemp("rewarded")
    folder = make(path, halfway, ROWS, VALID, n_epochs=4, eval_samples=4, grading=route.grading, **GIVEN)
    assert run(folder) == 0, log(folder)
    return folder


def share_of_yes(folder, step):
    rows = [loads(line) for line in (folder.path / f"validation/step-{step}.jsonl").read_bytes().splitlines()]
    return sum(said(row) == row["item"]["answer"] for row in rows) / len(rows)


def test_what_is_rewarded_becomes_likely_and_every_parameter_changes(job, halfway):
    rewards_by_step = [told["train_mean_reward"] for _, told in sorted(metrics(job).items())]
    assert sum(rewards_by_step[-4:]) / 4 > sum(rewards_by_step[:4]) / 4 + 0.2
    assert share_of_yes(job, 16) > share_of_yes(job, 4)
    before, after = weights(halfway), weights(job.model)
    assert not [name for name in before if before[name].equal(after[name])]


def test_the_item_of_a_row_reaches_its_grader_with_the_answer(job, route):
    asked = {json.dumps(sample["item"]) for call in route.calls for sample in call}
    assert asked >= {json.dumps(row) for row in ROWS}


def test_a_validation_leaves_samples_for_the_server_to_grade(job):
    told = events(job, Validation)
    assert [(each.step, each.rows) for each in told] == [
        (step, f"validation/step-{step}.jsonl") for step in (4, 8, 12, 16)
    ]
    rows = [loads(line) for line in (job.path / told[0].rows).read_bytes().splitlines()]
    assert [row["item"] for row in rows] == [row for row in VALID for _ in range(4)]
    assert rows[0]["sample"]["choices"][0]["finish_reason"] in ("stop", "length")


def test_metrics_have_the_hosted_names(job):
    told = metrics(job)[4]
    assert told["scores"]["graders"] == [{"name": "right", "train_reward_mean": told["train_mean_reward"]}]
    assert told["timing"]["step"].keys() == {"sampling", "grading", "training", "full_iteration", "eval"}
    assert told["full_valid_mean_parse_error"] == 0
    assert told["completion_tokens_mean"] >= 1


def test_a_job_that_was_paused_and_killed_ends_as_if_it_had_not_been(job, halfway, route, tmp_path):
    folder = make(tmp_path, halfway, ROWS, VALID, n_epochs=4, eval_samples=4, grading=route.grading, **GIVEN)
    assert stop_at(folder, 2, signal.SIGTERM) == 75
    assert stop_at(folder, 7, signal.SIGKILL) == -signal.SIGKILL
    assert run(folder) == 0, log(folder)
    for name in ("train_loss", "train_mean_reward", "completion_tokens_mean"):
        assert [metrics(folder)[step][name] for step in range(1, 17)] == [
            metrics(job)[step][name] for step in range(1, 17)
        ]
    assert (folder.model / "model.safetensors").read_bytes() == (job.model / "model.safetensors").read_bytes()
    samples = "validation/step-16.jsonl"
    assert (folder.path / samples).read_bytes() == (job.path / samples).read_bytes()


def test_the_best_three_checkpoints_by_the_servers_rewards_are_kept(halfway, route, tmp_path):
    given = {**GIVEN, "eval_interval": 1}
    folder = make(tmp_path, halfway, ROWS, VALID, n_epochs=2, grading=route.grading, **given)
    folder.write_rewards({1: 0.9, 2: 0.1, 3: 0.5, 4: 0.6, 5: 0.2})
    assert run(folder) == 0, log(folder)
    assert folder.complete_checkpoints() == [1, 3, 4, 6, 7, 8]  # 6 to 8 are not graded yet
    assert {each.step for each in events(folder, CheckpointRemoved)} == {2, 5}


def test_answers_keep_to_the_response_format(tiny, tmp_path):
    def by_schema(samples):
        return rewards([float(loads(said(each).encode())["answer"] == "yes") for each in samples])

    with graders(by_schema) as route:
        response_format = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
        given = {**GIVEN, "max_completion_tokens": 60, "response_format": response_format}
        folder = make(tmp_path, tiny, ROWS, VALID, n_epochs=1, grading=route.grading, **given)
        assert run(folder) == 0, log(folder)
        answers = [loads(said(sample).encode()) for call in route.calls for sample in call]
    assert len(answers) > 64
    assert all(answer.keys() == {"answer", "sure"} for answer in answers)


def test_an_answer_that_is_cut_off_is_a_parse_error_without_reward(tiny, tmp_path):
    with graders(equal) as route:
        given = {**GIVEN, "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}
        given["max_completion_tokens"] = 3
        folder = make(tmp_path, tiny, ROWS, VALID, n_epochs=1, grading=route.grading, **given)
        assert run(folder) == 0, log(folder)
    told = metrics(folder)[4]
    assert not route.calls
    assert (told["train_mean_reward"], told["full_valid_mean_parse_error"]) == (0, 1)
    assert told["errors"]["graders"][0]["train_sample_parse_error_mean"] == 1
    (warning,) = events(folder, Message)
    assert warning.message.startswith("32 of 32 answers are cut off before they are whole JSON")


def test_a_grader_that_fails_now_and_then_costs_its_samples_their_reward(halfway, tmp_path):
    error = {"name": "right", "kind": "python_grader_runtime_error", "message": "It raised."}

    def sometimes(samples):
        return 200, {
            "data": [{"reward": 0, "errors": [error]} if n % 4 == 0 else {"reward": 1} for n in range(len(samples))]
        }

    with graders(sometimes) as route:
        folder = make(tmp_path, halfway, ROWS, n_epochs=1, grading=route.grading, **GIVEN)
        assert run(folder) == 0, log(folder)
    told = metrics(folder)[1]
    assert told["train_mean_reward"] == 0.75
    assert told["errors"]["graders"] == [
        {
            "name": "right",
            "train_python_grader_runtime_error_mean": 0.25,
            "train_python_grader_runtime_error_count": 8,
        }
    ]


def test_a_grader_that_keeps_failing_fails_the_job(halfway, tmp_path):
    error = {"name": "right", "kind": "python_grader_runtime_error", "message": "It raised ValueError."}
    with graders(lambda samples: (200, {"data": [{"reward": 0, "errors": [error]} for _ in samples]})) as route:
        folder = make(tmp_path, halfway, ROWS, n_epochs=3, grading=route.grading, **GIVEN)
        assert run(folder) == 1
    failed = events(folder, Failed)[-1]
    assert failed.code == "grader_failed"
    assert "It raised ValueError." in failed.message
    assert sorted(metrics(folder)) == [1, 2]


def test_a_server_that_restarts_is_waited_for_and_one_that_refuses_is_not(halfway, tmp_path):
    answers = iter([(503, {}), (502, {}), (200, None)])

    def restarting(samples):
        status, _ = next(answers, (200, None))
        return equal(samples) if status == 200 else (status, {"error": {"message": "Starting."}})

    with graders(restarting) as route:
        folder = make(tmp_path, halfway, ROWS, n_epochs=1, grading=route.grading, **GIVEN)
        assert run(folder) == 0, log(folder)
    with graders(lambda _: (410, {"error": {"message": "The job has been cancelled."}})) as route:
        refused = make(tmp_path / "refused", halfway, ROWS, n_epochs=1, grading=route.grading, **GIVEN)
        assert run(refused) == 1
    assert "The job has been cancelled." in events(refused, Failed)[-1].message
