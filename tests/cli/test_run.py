import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from cli.commands import environment, regrade, start
from regrade import server_lock
from servers import serving

CAPITALS = {
    "name": "Capitals",
    "data": "rows.jsonl",
    "eval": {
        "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
        "testing_criteria": [
            {
                "type": "string_check",
                "name": "exact",
                "operation": "eq",
                "input": "{{item.a}}",
                "reference": "{{item.b}}",
            }
        ],
    },
}
ROWS = [
    {"a": "Oslo", "b": "Oslo"},
    {"a": "Bern", "b": "Bern"},
    {"a": "Rome", "b": "Rome"},
    {"a": "Nice", "b": "Paris"},
]


@pytest.fixture
def write(tmp_path):
    """Write an eval file and its rows; what is given replaces keys of the file."""

    def write(rows=ROWS, **keys):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        path = tmp_path / "capitals.json"
        path.write_text(json.dumps({**CAPITALS, **keys}))
        return path

    return write


def test_a_run_prints_a_table_and_ends_with_the_rate_and_the_report(server, write):
    answer = regrade("run", write(), "--server", server.url)
    assert answer.stderr == ""
    assert answer.returncode == 1
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("4 of 4 rows, 75.0 % pass")
    assert ["exact", "3", "1", "0", "75.0", "%", "30.1", "to", "95.4", "%"] in [line.split() for line in lines]
    assert lines[-2] == "Pass rate  75.0 % (3 of 4 rows), 95 % interval 30.1 to 95.4 %"
    assert lines[-1].startswith(f"Report     {server.url}/evals/eval_")
    assert "\x1b" not in answer.stdout


@pytest.mark.parametrize(
    ("flags", "keys", "code"),
    [
        (["--limit", "3"], {}, 0),
        ([], {"gate": {"fail_under": 0.75}}, 0),
        (["--fail-under", "0.8"], {"gate": {"fail_under": 0.75}}, 1),
    ],
)
def test_the_exit_code_follows_the_gate(server, write, flags, keys, code):
    answer = regrade("run", write(**keys), "--quiet", *flags, REGRADE_URL=server.url)
    assert answer.returncode == code
    assert len(answer.stdout.splitlines()) == 2


def test_json_is_lines_for_a_program_with_the_text_on_standard_error(server, write):
    answer = regrade("run", write(), "--server", f"{server.url}/v1/", "--json")
    *progress, result = map(json.loads, answer.stdout.splitlines())
    assert {event["event"] for event in progress} == {"progress"}
    assert progress[-1]["total"] == progress[-1]["rows"] == 4
    assert (result["event"], result["status"], result["passed"], result["failed"]) == ("result", "completed", 3, 1)
    assert result["pass_rate"] == 0.75
    assert result["criteria"][0]["name"] == "exact"
    assert result["gate_met"] is False
    assert "Pass rate" in answer.stderr


def test_the_output_file_holds_the_items_in_row_order(server, write, tmp_path):
    rows = [{"a": str(n), "b": str(n)} for n in range(250)]
    answer = regrade("run", write(rows), "--server", server.url, "--output", tmp_path / "items.jsonl", "--quiet")
    assert answer.returncode == 0
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [item["datasource_item"] for item in items] == rows


def test_runs_of_one_file_share_an_eval_until_its_criteria_change(server, write):
    def eval_of(path):
        return json.loads(regrade("run", path, "--server", server.url, "--json").stdout.splitlines()[-1])["eval_id"]

    first = eval_of(write())
    assert eval_of(write(rows=ROWS[:1])) == first
    changed = {
        **CAPITALS["eval"],
        "testing_criteria": [{**CAPITALS["eval"]["testing_criteria"][0], "name": "same"}],
    }
    assert eval_of(write(eval=changed)) != first
    assert eval_of(write(eval=first)) == first


def test_rows_that_lie_on_the_server_need_no_data(server, write):
    source = {"type": "file_content", "content": [{"item": ROWS[0]}]}
    run = {"data_source": {"type": "jsonl", "source": source}}
    answer = regrade("run", write(data=None, run=run), "--server", server.url)
    assert answer.returncode == 0, answer.stderr
    assert "100.0 % (1 of 1 rows)" in answer.stdout


def test_what_the_server_refuses_is_a_usage_error_with_its_message(server, write):
    broken = {**CAPITALS["eval"], "testing_criteria": [{"type": "string_chek"}]}
    answer = regrade("run", write(eval=broken), "--server", server.url)
    assert answer.returncode == 2
    assert "(request req_" in answer.stderr
    unknown = regrade("run", write(eval="eval_unknown"), "--server", server.url)
    assert unknown.returncode == 2
    assert "eval_unknown" in unknown.stderr


def test_a_server_that_is_no_regrade_or_none_at_all_means_unfinished(write):
    answer = regrade("run", write(), "--server", "http://127.0.0.1:1")
    assert answer.returncode == 3
    assert "The server at http://127.0.0.1:1 does not answer" in answer.stderr


def test_a_dry_run_checks_the_rows_and_sends_nothing(write, tmp_path):
    answer = regrade("run", write(), "--dry-run", "--server", "http://127.0.0.1:1")
    assert answer.returncode == 0
    assert "would run 1 criteria on 4 rows" in answer.stdout
    (tmp_path / "rows.jsonl").write_text("{}\nnope\n")
    answer = regrade("run", tmp_path / "capitals.json", "--dry-run")
    assert answer.returncode == 2
    assert "Line 2 of" in answer.stderr


def test_an_output_file_that_cannot_be_written_is_refused_before_the_run(write, tmp_path):
    answer = regrade(
        "run", write(), "--output", tmp_path / "none" / "items.jsonl", "--server", "http://127.0.0.1:1"
    )
    assert answer.returncode == 2
    assert "cannot be written (No such file or directory). Name another file with --output." in answer.stderr


def test_without_a_server_one_is_started_and_ended(write, tmp_path):
    data_dir = tmp_path / "data"
    answer = regrade("run", write(), "--data-dir", data_dir, REGRADE_PORT="9999")
    assert (answer.returncode, answer.stderr) == (1, "")
    assert answer.stdout.splitlines()[-1].endswith("(start `regrade serve` to open it)")
    assert "http://127.0.0.1:9999/evals/" in answer.stdout
    assert server_lock.find(data_dir) is None


def test_a_server_that_runs_on_the_data_directory_is_used(server, write):
    answer = regrade("run", write(), "--data-dir", server.data_dir)
    assert f"{server.url}/evals/" in answer.stdout
    assert server_lock.find(server.data_dir).url == server.url


def test_a_server_that_does_not_start_says_why(write, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "regrade.sqlite3").write_bytes(b"garbage " * 4096)
    answer = regrade("run", write(), "--data-dir", tmp_path / "data")
    assert answer.returncode == 3
    assert "The server for this command did not start." in answer.stderr
    assert "not a database" in answer.stderr


@pytest.fixture(scope="module")
def idle_server(tmp_path_factory):
    """A server that grades nothing, so that runs stay queued."""
    with serving(tmp_path_factory.mktemp("idle") / "data", "--workers", "0") as server:
        yield server


def test_ctrl_c_cancels_the_run_and_says_how_to_go_on(idle_server, write):
    path = write()
    with start("run", path, "--server", idle_server.url, "--json") as process:
        assert json.loads(process.stdout.readline())["status"] == "queued"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    result = json.loads(out.splitlines()[-1])
    assert result["status"] == "canceled"
    assert f"Run all rows again: regrade run {path} --server {idle_server.url}" in err
    with idle_server.client() as client:
        assert [run.status for run in client.evals.runs.list(result["eval_id"])] == ["canceled"]


def test_a_run_that_somebody_else_cancels_could_not_finish(idle_server, write):
    with start("run", write(), "--server", idle_server.url, "--json") as process:
        run_id = json.loads(process.stdout.readline())["run_id"]
        with idle_server.client() as client:
            (eval_,) = client.evals.list(order="desc", limit=1).data
            client.evals.runs.cancel(run_id, eval_id=eval_.id)
        process.communicate()
    assert process.returncode == 3


def test_a_terminal_gets_a_live_bar_and_the_same_last_lines(server, write):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "regrade", "run", str(write()), "--server", server.url]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm-256color", COLUMNS="100")
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 1
    assert b"\x1b[" in shown
    assert b"4/4" in shown
    assert b"Pass rate  75.0 %" in shown


def test_a_key_is_asked_for_and_taken(idle_server, write):
    # The last test of the module: from here on the idle server wants a key.
    created = regrade("keys", "create", "--project", "p", "--data-dir", idle_server.data_dir)
    secret = created.stdout.splitlines()[-1]
    refused = regrade("run", write(), "--data-dir", idle_server.data_dir, REGRADE_API_KEY="sk-wrong")
    assert refused.returncode == 4
    assert secret not in refused.stderr
    with start("run", write(), "--data-dir", idle_server.data_dir, "--json", REGRADE_API_KEY=secret) as process:
        assert json.loads(process.stdout.readline())["status"] == "queued"
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
