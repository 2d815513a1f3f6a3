"""A full disk: who asks is told, nothing is lost, and runs go on once there is room."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from regrade.core.entities import PageRequest
from regrade.core.errors import NoRoomError
from regrade.store.blobs import DiskBlobs
from regrade.workflows import persistence
from regrade.workflows.eval_run import EvalRuns
from worlds import add_file, open_world


@pytest.fixture
def world(tmp_path):
    world = open_world(tmp_path)
    yield world
    world.database.close()


def test_a_full_database_says_so_and_keeps_what_it_has(world):
    kept = add_file(world)
    with world.database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(NoRoomError, match="disk of this server's data directory is full"):
        _fill(lambda: add_file(world, "x" * 200))
    assert world.files.get("default", kept["id"]) == kept
    assert len(world.stored()) == len(world.files.list("default", PageRequest(limit=10_000), purpose=None).data)


def _fill(write):
    for _ in range(1000):
        write()


def test_a_full_disk_of_blobs_says_so_and_keeps_no_half(tmp_path):
    blobs = DiskBlobs(tmp_path)
    writer = blobs.writer("files/a")
    writer._file.close()
    with Path("/dev/full").open("wb", buffering=0) as writer._file:
        with pytest.raises(NoRoomError):
            writer.write(b"x")
        writer.abort()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class FullRuns:
    """A store whose disk is full for a while."""

    def __init__(self, run, *, full):
        self._run = run
        self._full = full
        self.failed = None

    def _need_room(self):
        self._full -= 1
        if self._full >= 0:
            raise NoRoomError("The disk is full.")

    def find(self, run_id):
        return self._run

    def fail(self, run, error, *, now):
        self._need_room()
        self.failed = error["code"]


class FullChunks(FullRuns):
    def claim(self, run, k, worker, *, most_deaths):
        self._need_room()

    def finish(self, run, *, now):
        self.finished = True


async def never():
    return False


def workflows(runs, chunks):
    pulse = SimpleNamespace(fresh=True, stopping=False, hold=never)
    ports = SimpleNamespace(runs=runs, chunks=chunks, pulse=pulse, clock=SimpleNamespace(now=lambda: 0))
    return EvalRuns(ports, worker="worker_1", max_row_bytes=1000, calls_at_once=1)


@pytest.fixture
def impatient(monkeypatch):
    for pause in ("_FULL_PAUSE_SECONDS", "_FIRST_PAUSE_SECONDS"):
        monkeypatch.setattr(persistence, pause, 0)


RUN = SimpleNamespace(status="in_progress", number=1)


def test_a_run_waits_for_room_longer_than_for_anything_else(impatient):
    runs, chunks = FullRuns(RUN, full=0), FullChunks(RUN, full=50)
    asyncio.run(workflows(runs, chunks).chunk("evalrun_1", 0))
    assert chunks.finished
    assert runs.failed is None


def test_a_run_that_cannot_go_on_waits_for_room_to_say_so(impatient):
    runs = FullRuns(RUN, full=50)
    asyncio.run(workflows(runs, chunks=None).chunk("evalrun_1", 0))
    assert runs.failed == "server_error"
