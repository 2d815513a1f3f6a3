"""The pieces of a run in SQL: planned once, claimed by one worker at a time, written with their counts."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from regrade.core.entities import Chunk, ChunkClaim, FinishedItem, Run
from regrade.core.ids import item_key
from regrade.core.jsontext import dumps, loads
from regrade.core.results import Tally
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.output_items import insert_items
from regrade.store.runs import end_runs, run_tally
from regrade.store.tables import chunks, output_items, runs, workers
from regrade.types.json import JsonObject


@repeats_undone
class SqlChunks:
    """ports.ChunkStore.

    Every write names the epoch of its claim in the statement that moves the counters, so counting and fencing are
    one: whoever lost the claim writes nothing, and no row is ever counted twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, run: Run, planned: Sequence[Chunk], *, source_blob: str, tally: JsonObject, now: int) -> bool:
        """Store the chunks with their empty tallies and set the run in progress."""
        with self._database.write() as connection:
            started = connection.execute(
                runs.update()
                .where(runs.c.number == run.number, runs.c.status == "queued")
                .values(
                    status="in_progress",
                    started_at=now,
                    source_blob=source_blob,
                    row_count=sum(chunk.rows for chunk in planned),
                )
            ).rowcount
            if started and planned:
                empty = dumps(tally)
                connection.execute(chunks.insert(), [_untouched(chunk, empty) for chunk in planned])
            return started > 0

    def undone(self, run: Run) -> list[int]:
        """Numbers of the chunks that are not done yet."""
        query = sa.select(chunks.c.k).where(chunks.c.run_number == run.number, chunks.c.done.is_(False))
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(chunks.c.k)).scalars())

    def claim(self, run: Run, k: int, worker: str, *, most_deaths: int | None = None) -> ChunkClaim | None:
        """Raise the chunk's epoch and say what is done of it already."""
        this = sa.and_(chunks.c.run_number == run.number, chunks.c.k == k)
        with self._database.write() as connection:
            # Whoever ends the run waits for this lock, so that no claim is newer than the epochs it has raised.
            of_run = sa.select(runs.c.status).where(runs.c.number == run.number).with_for_update(read=True)
            status = connection.execute(of_run).scalar()
            row = connection.execute(sa.select(chunks).where(this).with_for_update()).mappings().first()
            if status != "in_progress" or row is None or row["done"]:
                return None
            before = row["worker"]
            lives, lost = _fate(connection, before)
            deaths = row["deaths"] + lost
            if (lives and before != worker) or (most_deaths is not None and deaths > most_deaths):
                return None
            epoch = row["epoch"] + 1
            connection.execute(chunks.update().where(this).values(epoch=epoch, worker=worker, deaths=deaths))
            chunk = Chunk(
                run_number=run.number,
                k=k,
                first_row=row["first_row"],
                rows=row["row_count"],
                first_line=row["first_line"],
                start=row["start"],
                stop=row["stop"],
            )
            done = _done_rows(connection, chunk) if epoch > 1 else frozenset[int]()
            return ChunkClaim(chunk=chunk, epoch=epoch, done_rows=done, deaths=deaths, tally=loads(row["tally"]))

    def neglected(self, run: Run) -> int | None:
        """The first undone chunk, unless a living worker has any."""
        undone = sa.and_(chunks.c.run_number == run.number, chunks.c.done.is_(False))
        living = sa.select(workers.c.id).where(workers.c.ended_at.is_(None))
        cared_for = sa.select(chunks.c.k).where(undone, chunks.c.worker.in_(living)).limit(1)
        first = sa.select(chunks.c.k).where(undone).order_by(chunks.c.deaths, chunks.c.k).limit(1)
        with self._database.read() as connection:
            if connection.execute(cared_for).first() is not None:
                return None
            return connection.execute(first).scalar()

    def holds(self, claim: ChunkClaim) -> bool:
        """Whether the epoch is still the claim's."""
        query = sa.select(chunks.c.epoch).where(_of(claim))
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def release(self, claim: ChunkClaim) -> None:
        """Take the worker's name off the chunk."""
        with self._database.write() as connection:
            connection.execute(chunks.update().where(_of(claim)).values(worker=None, waiting=None))

    def split(self, claim: ChunkClaim, first: Chunk, second: Chunk, *, tally: JsonObject) -> None:
        """Shorten the chunk and add another one, in one commit."""
        of_run = chunks.c.run_number == claim.chunk.run_number
        with self._database.write() as connection:
            number = runs.c.number == claim.chunk.run_number
            connection.execute(sa.select(runs.c.number).where(number).with_for_update())  # one new number at a time
            held = connection.execute(
                chunks.update()
                .where(_of(claim))
                .values(row_count=first.rows, stop=first.stop, epoch=claim.epoch + 1, worker=None, deaths=1)
            ).rowcount
            if held:
                k = connection.execute(sa.select(sa.func.max(chunks.c.k)).where(of_run)).scalar_one() + 1
                # As if it had been claimed before: the next claim looks which of its rows are done.
                more = {**_untouched(second, dumps(tally)), "k": k, "epoch": 1, "deaths": 1}
                connection.execute(chunks.insert().values(more))

    def flush(
        self,
        claim: ChunkClaim,
        items: Sequence[FinishedItem],
        tally: Tally,
        *,
        done: bool,
        waiting: dict[str, int] | None = None,
    ) -> bool:
        """Commit results together with the chunk's new aggregates, if the claim still holds."""
        with self._database.write() as connection:
            held = connection.execute(
                chunks.update()
                .where(_of(claim))
                .values(
                    passed=tally.passed,
                    failed=tally.failed,
                    errored=tally.errored,
                    tally=dumps(tally.as_json()),
                    done=done,
                    waiting=dumps(waiting) if waiting else None,
                )
            ).rowcount
            if held:
                insert_items(connection, claim.chunk.run_number, items)
            return held > 0

    def finish(self, run: Run, *, now: int) -> bool:
        """End the run if every chunk is done: completed, or failed where no row at all could be graded."""
        this = runs.c.number == run.number
        undone = sa.select(chunks.c.k).where(chunks.c.run_number == run.number, chunks.c.done.is_(False))
        with self._database.write() as connection:
            status = connection.execute(sa.select(runs.c.status).where(this).with_for_update()).scalar()
            if status != "in_progress" or connection.execute(undone.limit(1)).first() is not None:
                return False
            tally = run_tally(connection, run)
            if tally.counts.total and tally.errored == tally.counts.total:
                error = {
                    "code": "no_row_processed",
                    "message": f"No row of {tally.errored} could be graded. The first reason: {tally.first_error}",
                }
                end_runs(connection, this, "failed", now=now, error=dumps(error))
            else:
                end_runs(connection, this, "completed", now=now)
            return True


def _of(claim: ChunkClaim) -> sa.ColumnElement[bool]:
    """The claim's chunk, for as long as the claim holds."""
    return sa.and_(
        chunks.c.run_number == claim.chunk.run_number,
        chunks.c.k == claim.chunk.k,
        chunks.c.epoch == claim.epoch,
        chunks.c.done.is_(False),
    )


def _untouched(chunk: Chunk, tally: bytes) -> dict[str, Any]:
    return {
        "run_number": chunk.run_number,
        "k": chunk.k,
        "first_row": chunk.first_row,
        "row_count": chunk.rows,
        "first_line": chunk.first_line,
        "start": chunk.start,
        "stop": chunk.stop,
        "epoch": 0,
        "deaths": 0,
        "done": False,
        "passed": 0,
        "failed": 0,
        "errored": 0,
        "tally": tally,
    }


def _fate(connection: sa.Connection, worker: str | None) -> tuple[bool, bool]:
    """Whether the worker that has a chunk lives, and whether it died of it."""
    if worker is None:
        return False, False
    row = connection.execute(sa.select(workers.c.ended_at, workers.c.lost).where(workers.c.id == worker)).first()
    if row is None:  # forgotten long ago
        return False, False
    return row.ended_at is None, row.lost


def _done_rows(connection: sa.Connection, chunk: Chunk) -> frozenset[int]:
    """Row indexes of the chunk whose items are committed."""
    base = item_key(chunk.run_number, 0)
    first = base + chunk.first_row
    keys = sa.select(output_items.c.key).where(output_items.c.key >= first, output_items.c.key < first + chunk.rows)
    return frozenset(key - base for key in connection.execute(keys).scalars())
