"""The disk of SQLite and its workers is full for a while: nothing is lost, and they go on once there is room."""

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from evals import wait
from grading_workers import fleet
from upstream import upstream

ROWS, AT_ONCE, DISK = 1_500, 16, "48m"


@contextmanager
def small_disk():
    """A file system of its own for the data directory."""
    folder = Path(tempfile.mkdtemp(prefix="regrade-disk-"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True
        )
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder])
    finally:
        shutil.rmtree(folder)


def fill(disk):
    """Take all room that is left; how to give it back."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler.unlink


@pytest.mark.timeout(180)
def test_two_workers_wait_while_the_disk_is_full_and_lose_nothing(tmp_path):
    with (
        small_disk() as disk,
        upstream() as up,
        fleet(disk, up.url, "--worker-takeover-seconds", "4", own_workers=2, at_once=AT_ONCE) as running,
    ):
        run = running.run("echo@slow=0.05", [f"row {n}" for n in range(ROWS)])
        running.wait_for_items(run, 200)
        make_room = fill(disk)
        # Rows that have been begun are asked for; what they answer waits in memory. No others are begun.
        asked = 0
        while asked < (asked := up.state()["requests"]) or up.state()["in_flight"]:
            time.sleep(1)
        assert running.now(run).result_counts.total < asked < ROWS
        make_room()
        run = wait(running.client, run)
        assert run.status == "completed"
        assert run.result_counts.to_dict() == {"total": ROWS, "passed": ROWS, "failed": 0, "errored": 0}
        assert running.rows_of(run) == list(range(ROWS))
        assert run.per_model_usage[0].invocation_count == ROWS
        assert up.state()["requests"] == ROWS
        assert running.server.stop() == 0
