"""Output items written to PostgreSQL, beside a bare binary COPY of the same bodies, both in commits of 200 rows.

    python bench/postgres.py [--rows N]

A flush does more than the floor: it moves the chunk's counters under its fence, and writes narrow facts beside the
bodies. The server is a real one with default settings, so each commit waits for the disk. The two take turns, and
what counts is the median of the ratios of neighbours.
"""

import argparse
import random
import statistics
import struct
import time
from contextlib import closing

import psycopg
from processes import postgres_server
from texts import row

from regrade.core.entities import Chunk, FinishedItem, Run
from regrade.core.results import Tally
from regrade.store.chunks import SqlChunks
from regrade.store.database import Database, postgres_engine
from regrade.store.runs import SqlRuns
from regrade.store.schema import upgrade

BATCH = 200
ROUNDS = 5
TARGET = 0.5
NOW = 1_800_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000, help="rows of one round")
    rows = parser.parse_args().rows
    chance = random.Random(7)
    bodies = [row(chance) + row(chance) for _ in range(rows)]
    with postgres_server(durable=True) as postgres:
        url = postgres.new()
        database = Database(postgres_engine(url))
        upgrade(database)
        with closing(database), closing(psycopg.connect(url)) as connection:
            connection.execute("CREATE TABLE bare (LIKE output_item_bodies INCLUDING ALL)")
            connection.commit()
            ours, bare = Flushes(database, bodies), Copies(connection, bodies)
            pairs = [(ours.write(each), bare.write(each)) for each in range(ROUNDS + 1)][1:]
    told = (statistics.median(rows / seconds for seconds in each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(floor / seconds for seconds, floor in pairs)
    size = statistics.mean(map(len, bodies))
    print(f"{rows} rows of {size:.0f} bytes, commits of {BATCH}, {ROUNDS} rounds")
    print("flushes {:,.0f} rows/s, bare binary COPY {:,.0f} rows/s".format(*told))
    print(f"ratio {ratio:.2f} (at least {TARGET}): {'met' if ratio >= TARGET else 'NOT MET'}")


class Flushes:
    """What a worker does."""

    def __init__(self, database: Database, bodies: list[bytes], batch: int = BATCH) -> None:
        self._runs, self._chunks, self._bodies = SqlRuns(database), SqlChunks(database), bodies
        self._batch = batch

    def write(self, number: int) -> float:
        """Write all bodies as one chunk of a new run; the seconds that it took."""
        draft = Run(
            id=f"evalrun_{number:032x}",
            eval_id="eval_1",
            project="p",
            name="",
            status="queued",
            model=None,
            created_at=NOW,
            data_source={},
            metadata={},
        )
        run = self._runs.add(draft, None)
        tally = Tally.empty(["a"])
        rows = len(self._bodies)
        chunk = Chunk(run_number=run.number, k=0, first_row=0, rows=rows, first_line=1, start=0, stop=1)
        self._chunks.plan(run, [chunk], source_blob="b", tally=tally.as_json(), now=NOW)
        claim = self._chunks.claim(run, 0)
        started = time.perf_counter()
        for first in range(0, rows, self._batch):
            batch = [
                FinishedItem(first + n, "pass", NOW, b"[1.0]", body)
                for n, body in enumerate(self._bodies[first : first + self._batch])
            ]
            for _ in batch:
                tally.add("pass")
            self._chunks.flush(claim, batch, tally, done=False)
        return time.perf_counter() - started


class Copies:
    """The floor."""

    def __init__(self, connection: psycopg.Connection, bodies: list[bytes]) -> None:
        self._connection, self._bodies = connection, bodies

    def write(self, number: int) -> float:
        """Write all bodies under new keys; the seconds that it took."""
        base = (number + 1) << 32
        head = struct.Struct("!hiqi").pack
        started = time.perf_counter()
        for first in range(0, len(self._bodies), BATCH):
            rows = [
                head(2, 8, base + first + n, len(body)) + body
                for n, body in enumerate(self._bodies[first : first + BATCH])
            ]
            with self._connection.cursor() as cursor:
                with cursor.copy("COPY bare (key, body) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(b"".join((b"PGCOPY\n\xff\r\n\0", bytes(8), *rows, b"\xff\xff")))
                self._connection.commit()
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
