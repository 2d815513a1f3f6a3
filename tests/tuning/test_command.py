"""`regrade tune`: from a file to a tuned model, and what can be done with jobs."""

import json

from cli.commands import regrade
from regrade.cli.tuning_progress import curve
from tuning.bench import chat_rows, create, prompt_rows, supervised, wait_for_step


def rows_file(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_file_becomes_a_model_and_the_losses_are_told(tuner, tmp_path):
    file = rows_file(tmp_path, chat_rows(20))
    done = regrade("tune", file, "--model", "base", "--epochs", "1", "--suffix", "cli", REGRADE_URL=tuner.url)
    assert done.returncode == 0, done.stderr
    assert "training loss=3.00" in done.stdout
    assert "Model   ft:base:default:cli:" in done.stdout
    assert "cli:" in regrade("tune", "list", REGRADE_URL=tuner.url).stdout


def test_programs_get_json_lines(tuner, tmp_path):
    file = rows_file(tmp_path, chat_rows(20))
    done = regrade("tune", "--json", "--model", "base", file, REGRADE_URL=tuner.url)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["event"] == "told"
    assert (told[-1]["event"], told[-1]["status"]) == ("job", "succeeded")


def test_a_failed_job_ends_the_command_with_its_message(tuner, tmp_path):
    done = regrade("tune", rows_file(tmp_path, chat_rows(20)), "--model", "greedy", REGRADE_URL=tuner.url)
    assert done.returncode == 3
    assert "1 GiB less than is needed" in done.stderr


def test_a_reinforcement_job_needs_its_grader(tuner, tmp_path):
    file = rows_file(tmp_path, prompt_rows(20))
    done = regrade("tune", file, "--model", "base", "--method", "reinforcement", REGRADE_URL=tuner.url)
    assert done.returncode == 2
    assert "--grader" in done.stderr


def test_jobs_are_paused_resumed_and_cancelled(tuner, client):
    job = create(client, model="slow", method=supervised(n_epochs=9))
    wait_for_step(client, job, 1)
    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        done = regrade("tune", action, job.id, REGRADE_URL=tuner.url)
        assert done.stdout.strip() == f"{job.id} is {state}.", done.stderr


def test_a_curve_is_a_line_of_bars():
    assert curve([3.0, 2.0, 1.0]) == "█▅▁"
    assert len(curve(list(range(1000)))) == 40
    assert curve([]) == ""
