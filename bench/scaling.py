"""How far one PostgreSQL carries a fleet: measured here, carried to 1,000 workers and 1,000,000,000 rows.

    python bench/scaling.py [--seconds N]

What is measured: commits of one row and rows in commits of 200, each from several writers at once, and the
transactions and processor time that idle workers cost the database. The rest is multiplication; docs/scaling.md
explains it.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
from postgres import Flushes
from processes import postgres_server, serving
from texts import row

from regrade.store.database import Database, postgres_engine
from regrade.store.limit_claims import SqlLimitLedger
from regrade.store.schema import upgrade

WRITERS = 8
IDLE_WORKERS = 2
CALL_SECONDS = 2.0
CALLS_IN_FLIGHT = 256
CHUNKS_AT_ONCE = 4
COMMITS_A_CHUNK = 50  # one in 20 milliseconds, where anything has ended
SOURCE_ROW, WAL_FACTOR = 1_000, 1.3
NETWORK = 120e6  # bytes a second of one gigabit
FLEETS = (1, 10, 100, 1_000)
ROWS = 1_000_000_000
_FEW, _MANY, _TURNS = 10, 200, 40
_TURNS_A_SECOND = 100  # a process pauses for a second, and for longer the more of them there are


def flushed(database: Database, bodies: list[bytes], batch: int, base: int) -> float:
    """Rows a second of writers that each have a chunk of their own."""
    writers = [Flushes(database, bodies, batch) for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        started = time.perf_counter()
        list(threads.map(lambda n: writers[n].write(base + n), range(WRITERS)))
        return WRITERS * len(bodies) / (time.perf_counter() - started)


def idle(url: str, seconds: float) -> tuple[float, float]:
    """Transactions a second, and processor seconds of the database a second, of one worker that waits for work."""
    with tempfile.TemporaryDirectory() as folder:
        counts = []
        for count in (0, IDLE_WORKERS):
            flags = ("--workers", str(count), "--database-url", url)
            with serving(Path(folder) / "data", *flags), psycopg.connect(url, autocommit=True) as connection:
                time.sleep(2)
                before = transactions(connection), processor(connection), time.perf_counter()
                time.sleep(seconds)
                took = time.perf_counter() - before[2]
                counts.append(
                    ((transactions(connection) - before[0]) / took, (processor(connection) - before[1]) / took)
                )
    return tuple((busy - alone) / IDLE_WORKERS for alone, busy in zip(*counts, strict=True))


def transactions(connection: psycopg.Connection) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    return connection.execute(
        "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()[0]


def processor(connection: psycopg.Connection) -> float:
    """Seconds that this server's processes have used, those that have ended too."""
    server = psutil.Process(connection.info.backend_pid).parent()
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in server.children():
        with suppress(psutil.NoSuchProcess):
            total += process.cpu_times().user + process.cpu_times().system
    return total


def exchanged(database: Database, processes: int) -> float:
    """Seconds of one process's turn at the limits while so many have theirs; turns come one after the other."""
    ledger = SqlLimitLedger(database)
    claim = {"endpoint": {"waiting": 100, "in_flight": 256, "tokens": 100_000}}
    took = []
    for number in range(processes + _TURNS):
        started = time.perf_counter()
        ledger.exchange(f"process-{number % processes}", lambda *_: claim, lasts_s=600)
        took.append(time.perf_counter() - started)
    return statistics.median(took[processes:])


def carried(commits: float, rows: float, polls: float, turn: Callable[[int], float], row_bytes: float) -> None:
    """Print which part of the database each size of fleet needs."""
    rate = CALLS_IN_FLIGHT / CALL_SECONDS
    small = min(rate, CHUNKS_AT_ONCE * COMMITS_A_CHUNK)
    print(
        f"\na worker: {CALLS_IN_FLIGHT} calls in flight of {CALL_SECONDS:.0f} s = {rate:.0f} rows/s in {small:.0f}"
        f" commits/s\n{'workers':>8} {'rows/s':>10} {'10^9 rows':>10} {'commits':>9} {'rows':>7} {'polling':>8}"
        f" {'limits':>8} {'network':>8} {'WAL MB/s':>9}"
    )
    for workers in FLEETS:
        wanted = workers * rate
        parts = (
            workers * small / commits,
            wanted / rows,
            workers * polls,
            min(workers, _TURNS_A_SECOND) * turn(workers),
            wanted * SOURCE_ROW / NETWORK,
        )
        told = [f"{part:.0%}" for part in parts]
        print(
            f"{workers:>8,} {wanted:>10,.0f} {ROWS / wanted / 3600:>8,.1f} h {told[0]:>9} {told[1]:>7} {told[2]:>8}"
            f" {told[3]:>8} {told[4]:>8} {wanted * row_bytes * WAL_FACTOR / 1e6:>9,.1f}"
        )
    ends = {
        "commits of single rows": commits / small,
        "rows in full commits": rows / rate,
        "polling, one core": 1 / polls,
        "reading the source, 1 Gbit/s": NETWORK / SOURCE_ROW / rate,
    }
    print("full at: " + "; ".join(f"{name}, {workers:,.0f} workers" for name, workers in ends.items()))
    print(f"database of {ROWS:,} rows: {ROWS * row_bytes / 1e12:.1f} TB of bodies and facts")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=8.0, help="of watching idle workers")
    seconds = arguments.parse_args().seconds
    chance = random.Random(7)
    bodies = [row(chance) + row(chance) for _ in range(2_000)]
    with postgres_server(durable=True) as postgres:
        url = postgres.new()
        database = Database(postgres_engine(url))
        with closing(database):
            upgrade(database)
            commits = flushed(database, bodies[:200], 1, 0)
            rows = flushed(database, bodies, 200, WRITERS)
            few, many = exchanged(database, _FEW), exchanged(database, _MANY)
            with database.read() as connection:
                (size,) = connection.exec_driver_sql(
                    "SELECT pg_total_relation_size('output_items') + pg_total_relation_size('output_item_bodies')"
                ).one()
                (count,) = connection.exec_driver_sql("SELECT count(*) FROM output_items").one()
        polls, busy = idle(postgres.new(), seconds)
    print(
        f"PostgreSQL here, {WRITERS} writers: {commits:,.0f} commits of one row a second, {rows:,.0f} rows/s in"
        f" commits of 200, {size / count:,.0f} bytes a row; an idle worker: {polls:.1f} transactions and"
        f" {1000 * busy:.1f} ms of processor a second; a turn at the limits among {_FEW}"
        f" processes {1000 * few:.1f} ms, among {_MANY} {1000 * many:.1f} ms"
    )
    a_process = (many - few) / (_MANY - _FEW)
    carried(commits, rows, busy, lambda processes: few + a_process * (processes - _FEW), size / count)


if __name__ == "__main__":
    main()
