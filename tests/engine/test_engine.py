"""Durable execution: on the SQLite that this Python has, and without a record of all that ever was."""

import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from evals import CONFIG, EXACT, file_source, row, upload, wait
from regrade.engine import DbosQueue, migrate, sqlite_engine
from regrade.store.database import postgres_engine
from servers import serving

AN_HOUR = 3600


@pytest.fixture
def sqlite(tmp_path):
    engine = sqlite_engine(tmp_path / "engine.sqlite3")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(new_database_url, request):
    url = new_database_url()
    if url == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    engine = postgres_engine(url)
    migrate(engine)
    yield engine
    engine.dispose()


def table(engine):
    return "workflow_status" if engine.dialect.name == "sqlite" else "regrade_engine.workflow_status"


def workflows(engine):
    with engine.connect() as connection:
        return dict(connection.exec_driver_sql(f"SELECT workflow_uuid, status FROM {table(engine)}").fetchall())


def end(engine, *names, seconds_ago):
    """Say of these workflows that they ended then."""
    ended = f"UPDATE {table(engine)} SET status = 'SUCCESS', completed_at = :at WHERE workflow_uuid = :name"
    with engine.begin() as connection:
        for name in names:
            connection.execute(sa.text(ended), {"at": 1000 * int(time.time() - seconds_ago), "name": name})


def test_the_clock_of_new_tables_runs_on_every_sqlite(sqlite):
    with sqlite.connect() as connection:
        now = connection.exec_driver_sql("SELECT unixepoch('subsec') * 1000").scalar()
    assert now == pytest.approx(1000 * time.time(), abs=60_000)


def test_asking_twice_is_asking_once_until_the_workflow_is_forgotten(engine):
    with closing(DbosQueue(engine)) as queue:
        queue.start_chunks("evalrun_1", [0, 1, 2])
        end(engine, "run:evalrun_1:0", seconds_ago=AN_HOUR)
        end(engine, "run:evalrun_1:1", seconds_ago=0)
        queue.start_chunks("evalrun_1", [0, 1, 2])
        assert sorted(workflows(engine).values()) == ["ENQUEUED", "SUCCESS", "SUCCESS"]
        queue.forget_ended(before=int(time.time()) - 60, limit=10)
        assert set(workflows(engine)) == {"run:evalrun_1:1", "run:evalrun_1:2"}
        queue.start_chunks("evalrun_1", [0])
        assert workflows(engine)["run:evalrun_1:0"] == "ENQUEUED"


def test_a_run_whose_workflows_ended_before_it_did_goes_on(tmp_path):
    data_dir = tmp_path / "data"
    with serving(data_dir, "--workers", "0") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        run = client.evals.runs.create(eval_.id, data_source=file_source(upload(client, [row(0, right=True)])))
    engine = sqlite_engine(data_dir / "engine.sqlite3")
    end(engine, f"run:{run.id}", seconds_ago=AN_HOUR)
    engine.dispose()
    with serving(data_dir) as server, server.client() as client:
        assert wait(client, run).status == "completed"


def pace(engine):
    """How often the queues of runs and chunks are looked into, in seconds."""
    queues = "queues" if engine.dialect.name == "sqlite" else "regrade_engine.queues"
    with engine.connect() as connection:
        query = f"SELECT polling_interval_sec FROM {queues} WHERE name IN ('runs', 'work')"
        [seconds] = set(connection.exec_driver_sql(query).scalars())
    return seconds


def test_workers_look_seldom_once_nothing_was_to_do_for_a_while_and_often_from_the_next_run_on(engine):
    with closing(DbosQueue(engine)) as worker, closing(DbosQueue(engine)) as server:
        server.start_job("ftjob_1", 0, training=False)  # before any worker has ever been
        worker.prepare(chunks=4, training=0)
        often = pace(engine)
        worker.keep_pace(since=int(time.time()) + AN_HOUR)
        assert pace(engine) == often, "a job waits"
        end(engine, "job:ftjob_1:files", seconds_ago=AN_HOUR)
        worker.keep_pace(since=int(time.time()) - AN_HOUR)
        assert pace(engine) == often, "something was asked for lately"
        worker.keep_pace(since=int(time.time()) + AN_HOUR)
        assert pace(engine) > often
    with closing(DbosQueue(engine)) as server:
        server.start_run("evalrun_1")
    assert pace(engine) == often
