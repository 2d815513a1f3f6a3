import os
import signal
import subprocess
import time
from urllib.request import urlopen

import psutil
import pytest

from cli.commands import regrade, start
from regrade import server_lock


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def terminate(process):
    process.terminate()


def press_ctrl_c(process):
    """The terminal tells the whole group, not only the command."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("tell", [terminate, press_ctrl_c])
def test_a_server_says_when_it_is_ready_and_ends_well_when_told_to(tmp_path, tell):
    with start("serve", "--port", "0", "--data-dir", tmp_path) as server:
        lines = []
        while not lines or not lines[-1].startswith("ready"):
            lines.append(server.stdout.readline())
        tell(server)
        _, errors = server.communicate()
    url = lines[-1].split()[1]
    assert lines[0].startswith("regrade ")
    assert lines[1].split()[:2] == ["API", f"{url}/v1"]
    assert lines[2].split()[:2] == ["Data", str(tmp_path)]
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert " ERROR " not in errors
    assert server_lock.find(tmp_path) is None
    assert not (tmp_path / "server.json").exists()


def workers_of(process):
    """The grading processes; between fork and exec a child is not yet what it will be."""
    alive = [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "regrade.supervised" in child.cmdline()]


def test_who_tells_a_starting_server_to_stop_does_not_wait_for_its_workers(tmp_path):
    with start("serve", "--port", "0", "--data-dir", tmp_path) as server:
        try:
            process = psutil.Process(server.pid)
            wait_until(lambda: workers_of(process))
            workers_of(process)[0].suspend()
            [listening] = process.net_connections()
            urlopen(f"http://127.0.0.1:{listening.laddr.port}/health", timeout=30).close()
            server.terminate()
            server.communicate(timeout=30)  # half of what a server waits for workers
        finally:
            server.kill()
    assert server.returncode == 0


def test_a_second_server_on_the_directory_is_refused(server):
    answer = regrade("serve", "--port", "0", "--data-dir", server.data_dir)
    assert answer.returncode == 2
    assert f"process {server.process.pid}, {server.url}" in answer.stderr


def test_a_taken_port_is_named_with_another_one(server, tmp_path):
    port = server.url.rsplit(":", 1)[1]
    answer = regrade("serve", "--port", port, "--data-dir", tmp_path)
    assert answer.returncode == 2
    assert port in answer.stderr
    assert f"--port {int(port) + 1}" in answer.stderr


def test_a_server_for_a_program_ends_when_its_input_closes(tmp_path):
    flags = ("--until-stdin-closes", "--port", "0", "--workers", "0", "--data-dir", tmp_path)
    with start("serve", *flags, stdin=subprocess.PIPE) as server:
        wait_until(lambda: server_lock.find(tmp_path))
        server.communicate()
    assert server.returncode == 0


def test_the_server_of_a_killed_command_does_not_outlive_it(tmp_path):
    command = start("demo", "--data-dir", tmp_path, "--port", "0")
    wait_until(lambda: server_lock.find(tmp_path))
    command.kill()
    command.communicate()
    wait_until(lambda: server_lock.find(tmp_path) is None)


def test_another_address_than_loopback_needs_a_key(tmp_path):
    refused = regrade("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", tmp_path)
    assert refused.returncode == 2
    assert "regrade keys create" in refused.stderr
