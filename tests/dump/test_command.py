"""`regrade import` as a person uses it: a process, its output and its exit code."""

import os
import re
import subprocess
import sys

import pytest

from dump.hosted import KEY, HostedApi, account, error


@pytest.fixture
def api():
    with HostedApi(account(evals=1)) as running:
        yield running


def regrade(*arguments, **environment):
    """Run the command without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "regrade", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "COLUMNS": "100", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def numbers(text, row):
    line = next(line for line in text.splitlines() if line.strip().startswith(row))
    return [int(number) for number in re.findall(r"\d+", line)]


def test_a_dump_is_made_and_read_back(api, tmp_path):
    arguments = ("import", "openai", "--dump-only", "--base-url", api.base_url, "--out", tmp_path / "dump")
    made = regrade(*arguments, OPENAI_API_KEY=KEY)
    assert made.returncode == 0, made.stderr
    assert numbers(made.stdout, "output items") == [232, 232, 0]
    assert "requests" in made.stderr
    assert "\x1b" not in made.stdout + made.stderr
    read = regrade("import", "dump", tmp_path / "dump", "--check")
    assert read.returncode == 0
    assert "The dump is whole." in read.stdout


def test_what_is_skipped_is_listed_with_its_reason_and_the_exit_code_says_so(api, tmp_path):
    api.fault = lambda request, number: error(403, "Not you.") if request.path.endswith("/events") else None
    arguments = ("import", "openai", "--dump-only", "--base-url", api.base_url, "--out", tmp_path / "dump")
    made = regrade(*arguments, OPENAI_API_KEY=KEY)
    assert made.returncode == 1
    assert "/fine_tuning/jobs/ftjob-1/events: 403 Not you." in made.stdout
    read = regrade("import", "dump", tmp_path / "dump", "--check")
    assert read.returncode == 1
    assert "not whole" in read.stdout


def test_a_dry_run_counts_and_writes_nothing(api, tmp_path):
    arguments = ("import", "openai", "--dump-only", "--base-url", api.base_url, "--out", tmp_path / "dump")
    counted = regrade(*arguments, "--dry-run", OPENAI_API_KEY=KEY)
    assert counted.returncode == 0, counted.stderr
    assert numbers(counted.stdout, "output items") == [232]
    assert numbers(counted.stdout, "file records") == [3]
    assert "in 2 lists" in counted.stdout
    assert not (tmp_path / "dump").exists()
    assert not any("output_items" in path or "/files/" in path for path in api.requests)


def test_a_wrong_key_is_said_in_one_sentence(api, tmp_path):
    arguments = ("import", "openai", "--dump-only", "--base-url", api.base_url, "--out", tmp_path / "dump")
    refused = regrade(*arguments, OPENAI_API_KEY="sk-wrong")
    assert refused.returncode == 4
    assert "does not accept this key" in refused.stderr
    assert "sk-wrong" not in refused.stderr


def test_without_a_key_and_a_terminal_it_says_which_variable_to_set(tmp_path):
    refused = regrade("import", "openai", "--dump-only", "--out", tmp_path / "dump")
    assert refused.returncode == 2
    assert "export OPENAI_API_KEY" in refused.stderr


def test_azure_takes_its_own_key_and_never_the_other(tmp_path):
    with HostedApi(account(evals=1), azure=True) as api:
        endpoint = api.base_url.removesuffix("/openai/v1")
        arguments = ("import", "openai", "--dump-only", "--azure-endpoint", endpoint, "--out", tmp_path / "dump")
        assert regrade(*arguments, OPENAI_API_KEY=KEY).returncode == 2
        assert not api.requests
        assert regrade(*arguments, AZURE_OPENAI_API_KEY=KEY).returncode == 0


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://example.com/v1", "unencrypted"),
        ("https://me:secret@example.com/v1", "password"),
        ("example.com", "no base URL"),
    ],
)
def test_a_key_is_sent_to_no_unfit_address(tmp_path, url, word):
    arguments = ("import", "openai", "--dump-only", "--base-url", url, "--out", tmp_path / "dump")
    refused = regrade(*arguments, OPENAI_API_KEY=KEY)
    assert refused.returncode == 2
    assert word in refused.stderr
    assert not (tmp_path / "dump").exists()
