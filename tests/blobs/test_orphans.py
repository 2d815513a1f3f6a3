"""Blobs without records: found some at a time, and never one that has its record or may still get it."""

import os
import subprocess
import sys

import pytest

from regrade.core.entities import Run
from regrade.core.ids import own_blob, secrets_blob
from regrade.store.blob_owners import SqlBlobOwners
from regrade.store.bucket import BucketBlobs
from regrade.store.runs import SqlRuns
from regrade.workflows.orphans import OrphanSweep
from worlds import add_file

DAY = 86_400


def put(world, *keys):
    for key in keys:
        writer = world.blobs.writer(key)
        writer.write(b"x")
        writer.commit()
        os.utime(world.root / "blobs" / key, (world.clock.time, world.clock.time))


def sweep(world, **options):
    return OrphanSweep(world.blobs, SqlBlobOwners(world.database), world.clock, **options)


def add_run(world, **values):
    run_id = world.ids.new("run")
    run = Run(
        id=run_id, eval_id="eval_1", project="default", name="", status="queued", model=None, created_at=0,
        data_source={}, metadata={}, **values
    )  # fmt: skip
    return SqlRuns(world.database).add(run, None)


@pytest.mark.parametrize("moment", ["a file", "a part", "an inline run"])
def test_what_a_process_leaves_that_is_killed_between_blob_and_record_goes_after_a_day(world, moment):
    program = """if True:
        import os, pathlib, signal, sys
        from worlds import add_file, open_world
        from regrade.store.runs import SqlRuns
        world = open_world(pathlib.Path(sys.argv[1]), sys.argv[3])
        world.clock.time += 1  # or its ids would be those of the test's own world

        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)

        match sys.argv[2]:
            case "a file":
                world.file_store.add = die
                add_file(world)
            case "a part":
                upload = world.uploads.create(
                    "default", {"purpose": "evals", "filename": "a", "bytes": 1, "mime_type": "a/b"}, None
                )
                world.uploads._store.add_part = die
                incoming = world.uploads.receive_part("default", upload["id"])
                incoming.write(b"x")
                world.uploads.add_part("default", upload["id"], incoming, None)
            case "an inline run":
                from evals import CONFIG, inline_source, row
                from regrade.core.entities import Eval
                from regrade.services.run_definitions import RunDefinitions
                from regrade.services.runs import Runs
                from regrade.store.evals import SqlEvals
                schema = {"properties": {"item": CONFIG["item_schema"]}}
                evals, runs = SqlEvals(world.database), SqlRuns(world.database)
                eval_ = Eval(
                    id="eval_1", project="default", name="", created_at=0, updated_at=0, metadata={},
                    data_source_config={"type": "custom", "schema": schema},
                    testing_criteria=[],
                )
                evals.add(eval_, None)
                runs.add = die
                service = Runs(
                    evals=evals, runs=runs, blobs=world.blobs, engine=None, ids=world.ids, clock=world.clock,
                    definitions=RunDefinitions(
                        world.file_store, world.blobs, models=None, sandbox=None, tuned=None, clock=world.clock
                    ),
                    public_url="",
                )
                service.create("default", eval_.id, {"data_source": inline_source([row(0, right=True)])}, None)
    """
    kept = add_file(world)
    died = subprocess.run(
        [sys.executable, "-c", program, world.root, moment, world.database_url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
    )
    assert died.returncode == -9, died.stderr.decode()
    assert len(world.stored()) == 2
    sweeper = sweep(world)
    world.clock.time = int(max(path.stat().st_mtime for path in (world.root / "blobs").rglob("*")))
    assert sweeper.sweep() == 0
    world.clock.time += DAY + 2
    assert sweep(world).sweep() == 1
    incoming = world.file_store.get("default", kept["id"], now=0)
    assert b"".join(world.blobs.pieces(incoming.blob)) == b"{}\n"


def test_blobs_of_every_kind_stay_while_their_records_name_them(world):
    add_file(world)
    inline, secret, swept = add_run(world), add_run(world, has_secrets=True), add_run(world)
    runs = SqlRuns(world.database)
    put(world, own_blob(inline.id), secrets_blob(secret.id), own_blob(swept.id), secrets_blob(inline.id), "marker")
    runs.delete(swept, now=world.clock.time)
    runs.sweep(now=world.clock.time, limit=10)
    world.clock.time += 10 * 365 * DAY
    assert sweep(world).sweep() == 2
    left = world.stored()
    assert {"marker", inline.id, secret.id} <= set(left)
    assert swept.id not in left


def test_the_sweep_looks_at_some_at_a_time_and_then_rests(world):
    put(world, *(f"parts/a{n % 3}/part_{n}" for n in range(25)))
    world.clock.time += 2 * DAY
    sweeper = sweep(world, at_once=10)
    assert [sweeper.sweep() for _ in range(4)] == [10, 10, 5, 0]
    put(world, "parts/aa/part_1")
    world.clock.time += 2 * DAY
    assert sweeper.sweep() == 1


def test_orphans_in_a_bucket_go_too(world, bucket, tmp_path):
    blobs = BucketBlobs(bucket.url, bucket.variables, tmp_path)
    for key in ("parts/aa/part_1", "marker"):
        writer = blobs.writer(key)
        writer.commit()
    world.clock.time = 2**33
    assert OrphanSweep(blobs, SqlBlobOwners(world.database), world.clock).sweep() == 1
    assert bucket.objects() == ["marker"]
