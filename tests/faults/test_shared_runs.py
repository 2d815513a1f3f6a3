"""Two workers share long runs: a short run passes them, cancelled and deleted ones are left, upkeep goes on."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from databases import open_database
from evals import wait
from grading_workers import Fleet
from regrade import outside, settings
from regrade.store.tables import chunks, output_item_bodies, output_items, runs, workers
from upstream import upstream

AT_ONCE, TAKEOVER = 16, 4
FLAGS = ("--worker-takeover-seconds", str(TAKEOVER))
LATENCY_MS, LONG = 50, 20_000


class Shared:
    """A server with two workers whose endpoint bears a few calls at a time, and a look into its tables."""

    def __init__(self, fleet, up, database, other_project):
        self.fleet, self.up, self.database, self.other_project = fleet, up, database, other_project

    def living(self):
        """The workers that live, the oldest first: (id, process)."""
        query = sa.select(workers.c.id, workers.c.pid).where(workers.c.ended_at.is_(None)).order_by(workers.c.id)
        with self.database.read() as connection:
            return connection.execute(query).all()

    def wait_for_two_holders(self, run):
        """Wait until both workers have chunks of the run, and some of its rows have ended."""
        of_run = sa.select(runs.c.number).where(runs.c.id == run.id).scalar_subquery()
        mine = sa.and_(chunks.c.run_number == of_run, chunks.c.done.is_(False), chunks.c.worker.is_not(None))
        query = sa.select(sa.func.count(chunks.c.worker.distinct())).where(mine)
        until(lambda: self._count(query) == 2)
        return self.fleet.wait_for_items(run, 10)

    def left_of(self, *run_ids):
        """The names of the tables and blobs in which there is still something of these runs."""
        with self.database.read() as connection:
            numbers = connection.execute(sa.select(runs.c.number).where(runs.c.id.in_(run_ids))).scalars().all()
        places = {
            "chunks": (chunks, chunks.c.run_number),
            "items": (output_items, output_items.c.key // 2**32),
            "bodies": (output_item_bodies, output_item_bodies.c.key // 2**32),
        }
        counts = {
            name: self._count(sa.select(sa.func.count()).select_from(table).where(number.in_(numbers)))
            for name, (table, number) in places.items()
        }
        blobs = Path(self.fleet.server.data_dir, "blobs", "runs")
        return {name for name, count in counts.items() if count} | {
            run_id for run_id in run_ids if (blobs / run_id).exists()
        }

    def troubles(self):
        """What the server and its workers have logged beyond information, tracebacks too."""
        said = [*self.fleet.server.errors, *(line for each in self.fleet.workers for line in each.errors)]
        return [line for line in said if " INFO " not in line]

    def _count(self, query):
        with self.database.read() as connection:
            return connection.execute(query).scalar()


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def two_workers(folder, url):
    with outside.open_keys(
        settings.load({"data_dir": str(folder / "data"), "database_url": url}, environ={})
    ) as keys:
        ours, theirs = (keys.create(project, "", admin=False)[1] for project in ("ours", "theirs"))
    embedded = url == "sqlite"
    with (
        upstream("--latency-ms", str(LATENCY_MS)) as up,
        open_database(url, folder / "data" / "regrade.sqlite3") as database,
    ):
        options = {"database_url": url, "at_once": AT_ONCE, "key": ours, "own_workers": 2 if embedded else 0}
        fleet = Fleet(folder, up.url, *FLAGS, **options)
        try:
            for worker in [] if embedded else [fleet.add(), fleet.add()]:
                worker.wait_until_ready()
            with fleet.server.client(theirs) as other_project:
                yield Shared(fleet, up, database, other_project)
        finally:
            fleet.close()


@pytest.fixture(scope="module")
def shared(new_database_url, tmp_path_factory):
    with two_workers(tmp_path_factory.mktemp("shared"), new_database_url()) as running:
        yield running


def seconds_of_ten(shared, client):
    """From the creation of ten rows to the end of their run."""
    began = time.monotonic()
    run = wait(client, shared.fleet.run("echo", [f"short {n}" for n in range(10)], client=client))
    assert run.result_counts.passed == 10
    return time.monotonic() - began


@pytest.mark.timeout(240)
def test_ten_rows_beside_a_long_run_take_little_longer_than_alone_and_cancelling_reaches_both_workers(shared):
    """The one test with bounds on time: they are what is promised. The long run serves both sentences."""
    fleet, up = shared.fleet, shared.up
    alone = seconds_of_ten(shared, fleet.client)
    long = fleet.run("upper", [f"LONG {n}" for n in range(LONG)])
    shared.wait_for_two_holders(long)
    for client in (fleet.client, shared.other_project):
        assert seconds_of_ten(shared, client) < 2 * alone + 2
    assert fleet.now(long).status == "in_progress", "it has ended too early: the test has shown nothing"

    fleet.client.evals.runs.cancel(long.id, eval_id=long.eval_id)
    answered = time.monotonic()
    time.sleep(3)
    began = [call[0] for call in up.calls() if call[2] == "upper"]
    assert max(began) < answered + 2
    assert up.state()["in_flight"] == 0
    counts = fleet.now(long).result_counts
    assert 0 < counts.total == counts.passed < LONG


@pytest.mark.timeout(240)
def test_what_is_deleted_in_progress_goes_without_a_trace_and_the_next_oldest_worker_sees_to_it(shared):
    fleet = shared.fleet
    before = shared.living()
    deleted, of_deleted_eval, kept = (
        fleet.run(f"say={name}", [name] * rows, inline=True)
        for name, rows in (("run", 2_000), ("eval", 2_000), ("kept", 1_000))
    )
    shared.wait_for_two_holders(deleted)
    fleet.client.evals.runs.delete(deleted.id, eval_id=deleted.eval_id)
    shared.wait_for_two_holders(of_deleted_eval)
    fleet.client.evals.delete(of_deleted_eval.eval_id)
    kept = wait(fleet.client, kept)
    assert (kept.status, kept.result_counts.passed) == ("completed", 1_000)
    assert fleet.rows_of(kept) == list(range(1_000))
    assert shared.living() == before
    assert shared.troubles() == []

    # The oldest worker would do the rest within ten seconds. It dies, so the other one has to.
    os.kill(before[0].pid, signal.SIGKILL)
    fleet.client.evals.runs.delete(kept.id, eval_id=kept.eval_id)
    gone = (deleted.id, of_deleted_eval.id, kept.id)
    assert {"items", "bodies", kept.id} <= shared.left_of(*gone)
    until(lambda: not shared.left_of(*gone))
    assert before[1] in shared.living()
