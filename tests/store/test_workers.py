"""Workers in the store: they live by the database's clock, end once, and a chunk remembers who died of it."""

import pytest

from databases import open_database
from regrade.core.entities import Chunk, Run, Worker
from regrade.core.results import Tally
from regrade.store.chunks import SqlChunks
from regrade.store.runs import SqlRuns
from regrade.store.workers import SqlWorkers


@pytest.fixture
def database(new_database_url, tmp_path):
    with open_database(new_database_url(), tmp_path / "store.sqlite3") as database:
        yield database


@pytest.fixture
def workers(database):
    return SqlWorkers(database)


def worker(name, **place):
    return Worker(id=f"worker_{name}", host="here", pid=1, **place)


def test_a_worker_lives_from_its_registration_to_its_end(workers):
    workers.add(worker("a"))
    workers.add(worker("b"))
    assert set(workers.alive()) == {"worker_a", "worker_b"}
    assert workers.is_oldest("worker_a")
    workers.end("worker_a")
    assert (workers.renew("worker_a"), workers.renew("worker_b")) == (False, True)
    assert workers.is_oldest("worker_b")
    assert workers.silent(60_000) == {}


def test_one_observer_declares_a_silent_worker_dead_and_none_one_that_spoke(workers):
    workers.add(worker("a"))
    [(name, heartbeat)] = workers.silent(-1).items()
    assert not workers.lose(name, heartbeat - 1)
    assert workers.lose(name, heartbeat)
    assert not workers.lose(name, heartbeat)
    assert not workers.renew(name)


def test_who_takes_a_place_has_outlived_who_had_it(workers):
    workers.add(worker("a", server="s", slot=0))
    workers.add(worker("b", server="s", slot=1))
    workers.add(worker("c", server="other", slot=0))
    workers.add(worker("d", server="s", slot=0))
    assert set(workers.alive()) == {"worker_b", "worker_c", "worker_d"}
    workers.end_of_server("s")
    assert set(workers.alive()) == {"worker_c"}


@pytest.fixture
def run(database):
    runs, chunks = SqlRuns(database), SqlChunks(database)
    queued = Run(
        id="evalrun_1", eval_id="e", project="p", name="", status="queued", model=None,
        created_at=0, data_source={}, metadata={},
    )  # fmt: skip
    run = runs.add(queued, None)
    planned = [
        Chunk(run_number=run.number, k=0, first_row=0, rows=10, first_line=1, start=0, stop=100),
        Chunk(run_number=run.number, k=1, first_row=10, rows=10, first_line=11, start=100, stop=200),
    ]
    chunks.plan(run, planned, source_blob="b", tally=Tally().as_json(), now=1)
    return runs.find(run.id)


def test_a_chunk_is_its_workers_until_that_one_ends(database, workers, run):
    chunks = SqlChunks(database)
    workers.add(worker("a"))
    workers.add(worker("b"))
    assert chunks.neglected(run) == 0
    claim = chunks.claim(run, 0, "worker_a")
    assert chunks.neglected(run) is None, "somebody works on the run"
    assert chunks.claim(run, 0, "worker_b") is None
    chunks.release(claim)
    assert chunks.claim(run, 0, "worker_b").deaths == 0


def test_a_chunk_that_workers_died_of_goes_on_in_halves(database, workers, run):
    chunks = SqlChunks(database)
    for name in "abc":
        workers.add(worker(name))
    for name in "ab":
        chunks.claim(run, 0, f"worker_{name}")
        workers.lose(f"worker_{name}", workers.silent(-1)[f"worker_{name}"])
    assert chunks.claim(run, 0, "worker_c", most_deaths=1) is None
    claim = chunks.claim(run, 0, "worker_c")
    assert claim.deaths == 2
    first = Chunk(run_number=run.number, k=0, first_row=0, rows=4, first_line=1, start=0, stop=40)
    second = Chunk(run_number=run.number, k=0, first_row=4, rows=6, first_line=5, start=40, stop=100)
    chunks.split(claim, first, second, tally=Tally().as_json())
    assert not chunks.holds(claim)
    assert chunks.undone(run) == [0, 1, 2]
    halves = [chunks.claim(run, k, "worker_c") for k in (0, 2)]
    assert [(each.chunk.first_row, each.chunk.rows, each.chunk.start, each.deaths) for each in halves] == [
        (0, 4, 0, 1),
        (4, 6, 40, 1),
    ]
