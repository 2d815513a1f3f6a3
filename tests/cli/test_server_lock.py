import os
import signal
import subprocess
import sys

import pytest

from regrade import __version__, server_lock
from regrade.core.errors import ConfigurationError

SERVER = """
import pathlib, sys, time
from regrade import server_lock
data_dir = pathlib.Path(sys.argv[1])
with server_lock.hold(data_dir):
    server_lock.announce(data_dir, "http://127.0.0.1:1234")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that holds the lock of tmp_path."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_running_server_is_found_until_it_ends(tmp_path, start):
    assert server_lock.find(tmp_path) is None
    server = start()
    assert server_lock.find(tmp_path) == server_lock.RunningServer(
        url="http://127.0.0.1:1234", pid=server.pid, version=__version__
    )
    server.communicate(b"")
    assert server_lock.find(tmp_path) is None


def test_a_second_server_is_refused_with_the_first_ones_process_and_address(tmp_path, start):
    server = start()
    with pytest.raises(ConfigurationError) as refusal, server_lock.hold(tmp_path):
        pass
    assert f"process {server.pid}, http://127.0.0.1:1234" in refusal.value.message
    assert server_lock.find(tmp_path).pid == server.pid


def test_a_killed_server_is_not_found_and_makes_room(tmp_path, start):
    server = start()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert (tmp_path / "server.json").exists()
    assert server_lock.find(tmp_path) is None
    start()


def test_a_server_that_has_not_announced_itself_is_not_found(tmp_path):
    with server_lock.hold(tmp_path):
        assert server_lock.find(tmp_path) is None


def test_a_damaged_record_is_no_server(tmp_path):
    with server_lock.hold(tmp_path):
        (tmp_path / "server.json").write_text('{"url": ')
        assert server_lock.find(tmp_path) is None


def test_the_data_directory_is_its_owners_alone(tmp_path):
    made = server_lock.open_data_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be made \(Not a directory\)\. Name another"):
        server_lock.open_data_dir(tmp_path / "file" / "data")
