"""Commands that take a PostgreSQL database, whose password stays with them."""

import json

import psutil
import pytest

from cli.commands import regrade
from evals import CONFIG, EXACT, inline_source, row, wait
from servers import serving


@pytest.fixture(scope="module")
def url(postgres):
    """With a password, which this server does not ask for."""
    return postgres.new().replace("postgres:@", "postgres:hunter2@")


def test_doctor_looks_at_the_database_and_makes_nothing_in_it(postgres, tmp_path):
    flags = ("doctor", "--data-dir", str(tmp_path), "--database-url")
    empty = regrade(*flags, postgres.new())
    assert "PostgreSQL 18" in empty.stdout
    assert "empty yet" in empty.stdout
    gone = regrade(*flags, "postgresql://u:hunter2@127.0.0.1:1/regrade")
    assert gone.returncode == 1
    assert "database regrade of --database-url cannot be used" in gone.stdout
    assert "hunter2" not in gone.stdout + gone.stderr


def test_serve_keys_and_logs_share_the_database_and_nobody_shows_its_password(url, tmp_path):
    data = ("--data-dir", str(tmp_path / "data"))
    environment = {"REGRADE_DATABASE_URL": url}
    created = regrade("keys", "create", "--project", "default", *data, **environment)
    secret = created.stdout.splitlines()[-1]
    call = {
        "request": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "metadata": {"n\0": "u\0l"}},
        "response": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ho\0"}}],
        },
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(call) + "\n")
    imported = regrade("import", "logs", str(tmp_path / "log.jsonl"), *data, **environment)
    assert imported.stdout.startswith("1 chat completions"), imported
    with (
        serving(tmp_path / "data", "--log-level", "debug", env=environment) as server,
        server.client(secret) as client,
    ):
        eval_ = client.evals.create(
            name="a\0b", metadata={"k": "v\0"}, data_source_config=CONFIG, testing_criteria=[EXACT]
        )
        run = wait(client, client.evals.runs.create(eval_.id, data_source=inline_source([row(1, right=True)])))
        assert (run.status, client.evals.retrieve(eval_.id).name) == ("completed", "a\0b")
        [kept] = client.chat.completions.list(metadata={"n\0": "u\0l"})
        assert kept.choices[0].message.content == "ho\0"
        processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
        assert len(processes) > 1
        assert "hunter2" not in str([process.cmdline() for process in processes])
    assert "hunter2" not in "".join(server.errors) + created.stdout + created.stderr + imported.stderr
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
    assert not [path for path in files if path.suffix == ".sqlite3"]


def test_the_demo_takes_the_database_that_is_named_to_it_and_no_other(postgres, tmp_path):
    named, elsewhere = postgres.new(), "postgresql://u@127.0.0.1:1/real"
    flags = ("demo", "--exit", "--data-dir", str(tmp_path / "demo"), "--port", "0")
    shown = regrade(*flags, "--database-url", named, REGRADE_DATABASE_URL=elsewhere)
    assert shown.returncode == 0, shown.stderr
    assert not list((tmp_path / "demo").glob("*.sqlite3"))
