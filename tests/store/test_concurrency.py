"""Many writers at once, as several processes are: what each may depend on holds on both databases."""

import itertools
import random
import threading
import time

import pytest
import sqlalchemy as sa

from databases import engine_of
from regrade.core.entities import Chunk, Eval, FinishedItem, Key, Run
from regrade.core.errors import NotFoundError
from regrade.core.results import Tally
from regrade.store.chunks import SqlChunks
from regrade.store.database import Database
from regrade.store.evals import SqlEvals
from regrade.store.keys import SqlKeys
from regrade.store.outages import UndoneError, UnknownOutcomeError, repeats_undone
from regrade.store.runs import SqlRuns
from regrade.store.schema import upgrade
from regrade.store.stored_objects import SqlStoredObjects
from regrade.store.tables import output_items, runs
from store.test_stored_objects import stored

NOW = 1_800_000_000
CHUNKS, ROWS = 4, 60
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def place(new_database_url, tmp_path_factory):
    """The module's database: what `engine_of` needs."""
    url, path = new_database_url(), tmp_path_factory.mktemp("store") / "store.sqlite3"
    database = Database(engine_of(url, path))
    upgrade(database)
    database.close()
    return url, path


@pytest.fixture
def connect(place):
    """Another connection pool to the module's database, as another process has it."""
    opened = []

    def connect():
        opened.append(Database(engine_of(*place)))
        return opened[-1]

    yield connect
    for database in opened:
        database.close()


def at_once(*work):
    """Do all of it in threads, and raise what any of them raised."""
    failures = []

    def do(each):
        try:
            each()
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def started_run(database):
    number = 16 * next(numbers)
    criteria = [{"id": "exact-1", "name": "exact", "type": "string_check"}]
    eval_ = Eval(
        id=f"eval_{number:032x}",
        project="p",
        name="",
        created_at=NOW,
        updated_at=NOW,
        data_source_config={},
        testing_criteria=criteria,
        metadata={},
    )
    SqlEvals(database).add(eval_, None)
    run = SqlRuns(database).add(new_run(eval_.id), None)
    planned = [
        Chunk(run_number=run.number, k=k, first_row=k * ROWS, rows=ROWS, first_line=1, start=0, stop=1)
        for k in range(CHUNKS)
    ]
    tally = Tally.empty(["exact-1"]).as_json()
    assert SqlChunks(database).plan(run, planned, source_blob="b", tally=tally, now=NOW)
    return run


def new_run(eval_id):
    return Run(
        id=f"evalrun_{16 * next(numbers):032x}",
        eval_id=eval_id,
        project="p",
        name="",
        status="queued",
        model=None,
        created_at=NOW,
        data_source={},
        metadata={},
    )


def worker(database, run, seed):
    """Take chunks from others and write some of their rows, until the run has ended."""
    chance, chunks = random.Random(seed), SqlChunks(database)

    def work():
        while SqlRuns(database).find(run.id).status == "in_progress":
            claim = chunks.claim(run, chance.randrange(CHUNKS), "worker_1")
            if claim is None:
                chunks.finish(run, now=NOW)
                continue
            first_row = claim.chunk.first_row
            left = [row for row in range(first_row, first_row + ROWS) if row not in claim.done_rows]
            tally = Tally.from_json(claim.tally)
            for first in range(0, len(left), 5):
                batch = [FinishedItem(row, "pass", NOW, b"[1.0]", b"{}") for row in left[first : first + 5]]
                for _ in batch:
                    tally.add("pass")
                if not chunks.flush(claim, batch, tally, done=False) or chance.random() < 0.1:
                    break
            else:
                chunks.flush(claim, [], tally, done=True)

    return work


def rows_of(database, run):
    base = run.number << 32
    keys = sa.select(output_items.c.key).where(output_items.c.key >= base, output_items.c.key < base + 2**32)
    with database.read() as connection:
        return sorted(key - base for key in connection.execute(keys).scalars())


def test_workers_that_take_chunks_from_each_other_count_every_row_once(connect):
    run = started_run(connect())
    at_once(*(worker(connect(), run, seed) for seed in range(4)))
    ended = SqlRuns(connect()).find(run.id)
    assert (ended.status, ended.counts.passed, ended.counts.total) == ("completed", CHUNKS * ROWS, CHUNKS * ROWS)
    assert rows_of(connect(), run) == list(range(CHUNKS * ROWS))


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_canceled_under_its_workers_keeps_what_it_counts(connect, seed):
    run = started_run(connect())
    observer, chance = connect(), random.Random(seed)

    def cancel():
        while len(rows_of(observer, run)) < chance.randrange(CHUNKS * ROWS):
            time.sleep(0.001)  # whoever only looks leaves the interpreter to those who write
        SqlRuns(observer).cancel(run, now=NOW)

    at_once(cancel, *(worker(connect(), run, each) for each in range(3)))
    ended = SqlRuns(observer).find(run.id)
    assert ended.status in ("canceled", "completed")
    assert ended.counts.total == len(rows_of(observer, run))


def test_a_run_never_outlives_the_eval_that_is_deleted_beside_it(connect):
    for _ in range(10):
        eval_id = started_run(connect()).eval_id
        evals, store = SqlEvals(connect()), SqlRuns(connect())
        drafts = [new_run(eval_id) for _ in range(3)]

        def create(drafts=drafts, store=store):
            for draft in drafts:
                try:
                    store.add(draft, None)
                except NotFoundError:
                    return

        at_once(create, lambda evals=evals, eval_id=eval_id: evals.delete("p", eval_id, now=NOW))
        alive = sa.select(runs.c.id).where(
            runs.c.eval_id == eval_id, sa.or_(runs.c.deleted_at.is_(None), runs.c.status == "queued")
        )
        with connect().read() as connection:
            assert connection.execute(alive).all() == []


def test_what_two_importers_bring_is_stored_once(connect):
    objects = [stored(f"resp_{number:032x}", metadata={"n": str(number)}) for number in range(60)]
    added = []

    def bring(order):
        store = SqlStoredObjects(connect())
        return lambda: added.append(store.add_new(objects[::order]))

    at_once(*map(bring, (1, -1, 1, -1)))
    assert sum(added) == 60


def test_servers_that_start_together_take_the_same_first_key_once(connect):
    def start(store, number):
        key = Key(id=f"key_{number}", project="p", name="", hint="abcd", admin=True, created_at=NOW)
        return lambda: store.add(key, b"the same hash")

    at_once(*(start(SqlKeys(connect()), number) for number in range(4)))
    assert len(SqlKeys(connect()).active()) == 1


@repeats_undone
class Embrace:
    """Two of these, with their keys in opposite order, wait for each other."""

    def __init__(self, database, keys, barrier):
        self.database, self.keys, self.barrier, self.attempts = database, keys, barrier, 0

    def close(self):
        self.attempts += 1
        with self.database.write() as connection:
            for key in self.keys:
                connection.execute(runs.update().where(runs.c.id == key).values(name="embraced"))
                if self.attempts == 1 and key == self.keys[0]:
                    self.barrier.wait()


@pytest.fixture
def on_postgres(postgres):
    """Pools to one database of the server alone."""
    opened = []

    def connect(url=postgres.new()):  # noqa: B008 - the one database of this test
        opened.append(Database(engine_of(url, None)))
        return opened[-1]

    upgrade(connect())
    yield connect
    for database in opened:
        database.close()


def test_a_deadlock_is_undone_and_done_again(on_postgres):
    one, other = (started_run(on_postgres()).id for _ in range(2))
    barrier = threading.Barrier(2)
    embraces = [Embrace(on_postgres(), keys, barrier) for keys in ([one, other], [other, one])]
    at_once(*(embrace.close for embrace in embraces))
    assert sorted(embrace.attempts for embrace in embraces) == [1, 2]


def test_sessions_that_the_database_ends_lose_nothing(on_postgres):
    run = started_run(on_postgres())
    over = threading.Event()

    def end_sessions():
        for _ in range(20):  # no more: on a busy machine a session may need longer than there is between two ends
            if over.is_set():
                return
            with on_postgres().engine.connect() as connection:
                others = (
                    "pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
                )
                connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
            over.wait(0.15)

    def persistently(work):
        def persist():
            while True:
                try:
                    return work()
                except (UndoneError, UnknownOutcomeError):
                    time.sleep(0.05)

        return persist

    def work():
        at_once(*(persistently(worker(on_postgres(), run, seed)) for seed in range(3)))
        over.set()

    at_once(end_sessions, work)
    ended = SqlRuns(on_postgres()).find(run.id)
    assert (ended.status, ended.counts.total) == ("completed", CHUNKS * ROWS)
    assert rows_of(on_postgres(), run) == list(range(CHUNKS * ROWS))
