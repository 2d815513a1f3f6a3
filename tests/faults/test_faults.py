"""What may happen to workers: every row ends once, and models are asked again only for what was in flight."""

import time
from contextlib import closing

import pytest

from databases import postgres_server
from evals import wait
from grading_workers import Wire, fleet
from upstream import upstream

ROWS, AT_ONCE, TAKEOVER = 1_500, 8, 2
FLAGS = ("--concurrency", str(AT_ONCE), "--worker-takeover-seconds", str(TAKEOVER))


@pytest.fixture(scope="module")
def own_postgres():
    """A PostgreSQL server that may be stopped: no other test uses it."""
    with postgres_server() as running:
        yield running


def expect_every_row_once(running, run, rows):
    assert (run.status, run.result_counts.to_dict()) == (
        "completed",
        {"total": rows, "passed": rows, "failed": 0, "errored": 0},
    )
    assert running.rows_of(run) == list(range(rows))
    assert run.per_model_usage[0].invocation_count == rows


@pytest.mark.timeout(300)
def test_two_workers_on_postgresql_survive_whatever_happens_to_them(tmp_path, own_postgres):
    url = own_postgres.new()
    with (
        upstream() as up,
        closing(Wire(url)) as wire,
        fleet(tmp_path, up.url, *FLAGS, database_url=url) as running,
    ):
        first, second = running.add(), running.add(database_url=wire.url)
        first.wait_until_ready(), second.wait_until_ready()
        run = running.run("echo@slow=0.1", [f"row {n}" for n in range(ROWS)])
        running.wait_for_items(run, 100)

        first.kill()
        first = running.add().wait_until_ready()
        running.wait_for_items(run, running.now(run).result_counts.total + 100)

        second.freeze()
        time.sleep(2 * TAKEOVER)
        second.thaw()
        running.wait_for_items(run, running.now(run).result_counts.total + 100)

        wire.cut()
        time.sleep(2 * TAKEOVER)
        wire.mend()
        running.wait_for_items(run, running.now(run).result_counts.total + 100)

        own_postgres.server.stop()
        time.sleep(1)
        own_postgres.server.start()
        run = wait(running.client, run, 120)
        expect_every_row_once(running, run, ROWS)
        # Killed, frozen, cut off, and both at once when the database went.
        assert ROWS <= up.state()["requests"] <= ROWS + 5 * 2 * AT_ONCE
        assert second.lives, "a worker that was taken for dead starts anew"


@pytest.mark.timeout(300)
def test_a_frozen_worker_that_wakes_up_neither_writes_nor_asks(tmp_path):
    with upstream() as up, fleet(tmp_path, up.url, *FLAGS) as running:
        frozen = running.add().wait_until_ready()
        run = running.run("echo@slow=0.2", [f"row {n}" for n in range(300)])
        running.wait_for_items(run, 20)
        frozen.freeze()
        running.add().wait_until_ready()
        run = wait(running.client, run, 120)
        asked = up.state()["requests"]
        frozen.thaw()
        time.sleep(1)
        assert up.state()["requests"] == asked
        expect_every_row_once(running, run, 300)
        assert asked <= 300 + AT_ONCE
