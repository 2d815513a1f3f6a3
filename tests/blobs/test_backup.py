"""Backups: taken from a server that writes, whole or not there, and a restored store goes on where the copy was."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import pytest

from cli.commands import regrade, start
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from regrade.core.errors import StateError, StorageError
from regrade.store.backup import EmbeddedStore, check
from regrade.store.blobs import DiskBlobs
from regrade.store.database import Database, sqlite_engine
from regrade.store.schema import upgrade
from regrade.system import SystemClock
from servers import serving
from worlds import add_file, open_world

ROWS = 20_000


def count(data_dir, rows):
    with closing(sqlite3.connect(data_dir / "regrade.sqlite3")) as database:
        return database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]


class Load:
    """Uploads, inline runs and deletions, one after the other, until told to stop."""

    def __init__(self, server, eval_id):
        self._server = server
        self._eval_id = eval_id
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.rounds = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _work(self):
        with self._server.client() as client:
            while not self._stopping.is_set():
                file = upload(client, [row(0, right=True)])
                run = client.evals.runs.create(self._eval_id, data_source=inline_source([row(0, right=True)]))
                client.files.delete(file.id)
                if self.rounds % 2:
                    client.evals.runs.delete(run.id, eval_id=self._eval_id)
                self.rounds += 1


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_store_that_is_written_to_is_copied_and_its_copy_ends_the_run_exactly(tmp_path, name):
    with serving(tmp_path / "data") as server, server.client() as client:
        eval_ = client.evals.create(name="e", data_source_config=CONFIG, testing_criteria=[EXACT])
        file = upload(client, (row(index, right=index % 3 != 0) for index in range(ROWS)))
        with Load(server, eval_.id) as load:
            run = client.evals.runs.create(eval_.id, data_source=file_source(file))
            while not client.evals.runs.retrieve(run.id, eval_id=eval_.id).result_counts.total:
                time.sleep(0.01)
            embedded(tmp_path / "data").back_up(tmp_path / name)
        assert load.rounds > 0
    embedded(tmp_path / "second").restore(tmp_path / name)
    assert 0 < count(tmp_path / "second", "output_items") < ROWS
    assert count(tmp_path / "second", "workers WHERE ended_at IS NULL") == 0, "the copied run would wait for them"
    with serving(tmp_path / "second") as server, server.client() as client:
        run = wait(client, client.evals.runs.retrieve(run.id, eval_id=eval_.id))
        assert (run.status, run.result_counts.total, run.result_counts.passed) == ("completed", ROWS, ROWS * 2 // 3)
        assert client.files.content(file.id).read().count(b"\n") == ROWS
        for small in client.evals.runs.list(eval_.id):
            assert wait(client, small).status == "completed"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def store(tmp_path):
    """A store as a server leaves it, without one that runs."""
    data = tmp_path / "data"
    data.mkdir()
    database = Database(sqlite_engine(data / "regrade.sqlite3"))
    upgrade(database)
    database.close()
    world = open_world(data)
    world.kept = add_file(world)
    yield world
    world.database.close()


def embedded(folder):
    folder.mkdir(exist_ok=True)
    return EmbeddedStore(folder, DiskBlobs(folder / "blobs"), SystemClock())


def test_a_backup_of_a_stopped_store_comes_back(store, tmp_path):
    store.database.close()
    for path in store.root.glob("*-shm"):
        path.unlink()
    embedded(store.root).back_up(tmp_path / "backup")
    embedded(tmp_path / "second").restore(tmp_path / "backup")
    world = open_world(tmp_path / "second")
    assert world.files.get("default", store.kept["id"]) == store.kept
    assert b"".join(world.files.content("default", store.kept["id"]).pieces) == b"{}\n"
    world.database.close()


def test_a_backup_that_is_killed_leaves_nothing_under_its_name(store, tmp_path):
    for index in range(100):
        add_file(store, content=bytes(200_000), name=f"{index}.jsonl")
    backup = start("backup", tmp_path / "backup", "--data-dir", store.root)
    while not any(tmp_path.glob(".backup.*/whole/blobs/*")):
        assert backup.poll() is None, backup.stderr.read()
        time.sleep(0.01)
    backup.kill()
    backup.communicate()
    assert not (tmp_path / "backup").exists()
    (draft,) = tmp_path.glob(".backup.*/whole")
    with pytest.raises(StateError, match="is no backup of Regrade"):
        check(draft)


def test_a_backup_that_is_interrupted_cleans_up(store, tmp_path):
    class Interrupted:
        def pieces(self, key):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EmbeddedStore(store.root, Interrupted(), SystemClock()).back_up(tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_deleted_while_the_backup_runs_is_deleted_in_it(store, tmp_path):
    doomed = add_file(store, content=b"doomed\n")

    class Sweeping:
        def __init__(self, blobs):
            self._blobs = blobs

        def pieces(self, key):
            if store.file_store.get("default", doomed["id"], now=0):
                store.files.delete("default", doomed["id"])
                store.clock.time += 3600
                store.files.sweep()
            return self._blobs.pieces(key)

    EmbeddedStore(store.root, Sweeping(store.blobs), SystemClock()).back_up(tmp_path / "backup")
    assert check(tmp_path / "backup").blobs == 1
    embedded(tmp_path / "second").restore(tmp_path / "backup")
    world = open_world(tmp_path / "second")
    assert [file["id"] for file in (world.files.get("default", store.kept["id"]),)] == [store.kept["id"]]
    assert world.file_store.get("default", doomed["id"], now=0) is None
    world.database.close()


def test_a_store_that_lacks_a_blob_is_said_to_be_damaged(store, tmp_path):
    store.blobs.delete(store.file_store.get("default", store.kept["id"], now=0).blob)
    with pytest.raises(StorageError, match="the store is damaged"):
        embedded(store.root).back_up(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("harm", ["change", "remove", "add", "cut the list"])
def test_a_backup_that_was_harmed_is_found_out_and_not_restored(store, tmp_path, harm):
    backup = tmp_path / "backup"
    embedded(store.root).back_up(backup)
    (blob,) = (path for path in (backup / "blobs").rglob("file-*"))
    match harm:
        case "change":
            blob.write_bytes(b"{}x")
        case "remove":
            blob.unlink()
        case "add":
            blob.with_name("more").write_bytes(b"")
        case "cut the list":
            lines = (backup / "backup.jsonl").read_bytes().splitlines(keepends=True)
            (backup / "backup.jsonl").write_bytes(b"".join(lines[:-1]))
    told = regrade("backup", "--check", backup)
    assert (told.returncode, told.stdout) == (1, "")
    assert "Traceback" not in told.stderr
    with pytest.raises(StateError):
        embedded(tmp_path / "second").restore(backup)
    assert not (tmp_path / "second" / "regrade.sqlite3").exists()


def test_a_tar_that_was_cut_is_found_out(store, tmp_path):
    add_file(store, content=bytes(3_000_000))
    embedded(store.root).back_up(tmp_path / "b.tar")
    os.truncate(tmp_path / "b.tar", 2_000_000)
    with pytest.raises(StateError):
        check(tmp_path / "b.tar")


def test_a_backup_replaces_nothing_and_a_restore_neither(store, tmp_path):
    embedded(store.root).back_up(tmp_path / "backup")
    with pytest.raises(StateError, match="exists already"):
        embedded(store.root).back_up(tmp_path / "backup")
    with pytest.raises(StateError, match="has a store already"):
        embedded(store.root).restore(tmp_path / "backup")


def test_a_restore_is_refused_where_a_server_runs_and_where_another_stores_blobs_lie(tmp_path):
    with serving(tmp_path / "data", "--workers", "0") as server:
        assert regrade("backup", tmp_path / "b", "--data-dir", tmp_path / "data").returncode == 0
        whole = regrade("backup", "--check", tmp_path / "b")
        assert (whole.returncode, "is whole" in whole.stdout) == (0, True), whole.stderr
        refused = regrade("restore", tmp_path / "b", "--data-dir", tmp_path / "data")
        assert (refused.returncode, server.url in refused.stderr) == (2, True)
    with serving(tmp_path / "other", "--workers", "0"):
        pass
    refused = regrade(
        "restore", tmp_path / "b", "--data-dir", tmp_path / "new", "--blobs", f"file://{tmp_path}/other/blobs"
    )
    assert refused.returncode == 2
    assert "holds the files of another store" in refused.stderr


def test_a_restore_that_is_killed_is_no_store_and_can_be_repeated(store, tmp_path):
    for index in range(100):
        add_file(store, content=bytes(200_000), name=f"{index}.jsonl")
    embedded(store.root).back_up(tmp_path / "b.tar")
    restore = start("restore", tmp_path / "b.tar", "--data-dir", tmp_path / "second")
    while not any((tmp_path / "second").glob("blobs/files/*")):
        assert restore.poll() is None, restore.stderr.read()
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        restore.send_signal(signal.SIGKILL)
    restore.communicate()
    assert not (tmp_path / "second" / "regrade.sqlite3").exists()
    again = regrade("restore", tmp_path / "b.tar", "--data-dir", tmp_path / "second")
    assert again.returncode == 0, again.stderr


def test_a_backup_brings_the_blobs_of_a_bucket_to_another_place(tmp_path, bucket):
    flags = ("--blobs", bucket.url, "--workers", "0")
    with serving(tmp_path / "data", *flags, env=bucket.variables) as server, server.client() as client:
        file = upload(client, [row(0, right=True)])
        done = regrade(
            "backup", tmp_path / "b", "--data-dir", tmp_path / "data", "--blobs", bucket.url, **bucket.variables
        )
        assert done.returncode == 0, done.stderr
    assert regrade("restore", tmp_path / "b", "--data-dir", tmp_path / "second").returncode == 0
    with serving(tmp_path / "second", "--workers", "0") as server, server.client() as client:
        assert json.loads(client.files.content(file.id).read()) == row(0, right=True)


def test_what_is_no_backup_is_said_to_be_none(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("notes.txt", "nothing"):
        told = subprocess.run(
            [sys.executable, "-m", "regrade", "backup", "--check", tmp_path / name], capture_output=True, text=True
        )
        assert told.returncode == 1
        assert name in told.stderr
