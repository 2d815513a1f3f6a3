import json
import socket

from cli.commands import regrade
from regrade import server_lock


def checks(answer):
    return {check["name"]: check for check in json.loads(answer.stdout)["checks"]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_all_is_well_on_an_empty_directory(tmp_path):
    answer = regrade("doctor", "--json", "--data-dir", tmp_path, REGRADE_PORT=free_port())
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["ok"] is True
    assert list(checks(answer)) == [
        "Versions",
        "Open files",
        "Data directory",
        "Database",
        "Python graders",
        "Server",
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_fails_comes_with_a_command_to_try(tmp_path):
    (tmp_path / "regrade.sqlite3").write_bytes(b"SQLite format 3\0" + b"garbage " * 1000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = regrade("doctor", "--data-dir", tmp_path, REGRADE_PORT=str(port))
    assert answer.returncode == 1
    assert f"FAIL  Server          not running, and 127.0.0.1:{port} is taken" in answer.stdout
    assert f"Try: regrade serve --port {port + 1}" in answer.stdout
    assert "FAIL  Database" in answer.stdout
    assert ".recover" in answer.stdout


def test_a_data_directory_that_is_a_file_fails(tmp_path):
    (tmp_path / "data").write_text("")
    answer = regrade("doctor", "--json", "--data-dir", tmp_path / "data", REGRADE_PORT=free_port())
    assert answer.returncode == 1
    assert "cannot be made" in checks(answer)["Data directory"]["detail"]


def test_settings_that_cannot_be_read_are_a_finding(tmp_path):
    (tmp_path / "regrade.toml").write_text("prot = 1\n")
    answer = regrade("doctor", "--json", cwd=tmp_path)
    assert answer.returncode == 1
    assert "Did you mean port?" in checks(answer)["Settings"]["detail"]


def test_a_server_that_holds_the_directory_and_does_not_answer_is_a_finding(tmp_path):
    with server_lock.hold(tmp_path):
        server_lock.announce(tmp_path, f"http://127.0.0.1:{free_port()}")
        answer = regrade("doctor", "--json", "--data-dir", tmp_path)
    assert answer.returncode == 1
    assert "does not answer" in checks(answer)["Server"]["detail"]
