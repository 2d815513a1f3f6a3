"""The pieces of a run in SQL: planned once, claimed by one worker at a time, written with their counts."""

from collections.abc import Sequence

import sqlalchemy as sa

from regrade.core.entities import Chunk, ChunkClaim, FinishedItem, Run
from regrade.core.ids import item_key
from regrade.core.jsontext import dumps, loads
from regrade.core.results import Tally
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.output_items import insert_items
from regrade.store.runs import end_runs, run_tally
from regrade.store.tables import chunks, output_items, runs
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
                connection.execute(
                    chunks.insert(),
                    [
                        {
                            "run_number": run.number,
                            "k": chunk.k,
                            "first_row": chunk.first_row,
                            "row_count": chunk.rows,
                            "first_line": chunk.first_line,
                            "start": chunk.start,
                            "stop": chunk.stop,
                            "epoch": 0,
                            "done": False,
                            "passed": 0,
                            "failed": 0,
                            "errored": 0,
                            "tally": empty,
                        }
                        for chunk in planned
                    ],
                )
            return started > 0

    def undone(self, run: Run) -> list[int]:
        """Numbers of the chunks that are not done yet."""
        query = sa.select(chunks.c.k).where(chunks.c.run_number == run.number, chunks.c.done.is_(False))
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(chunks.c.k)).scalars())

    def claim(self, run: Run, k: int) -> ChunkClaim | None:
        """Raise the chunk's epoch and say what is done of it already."""
        this = sa.and_(chunks.c.run_number == run.number, chunks.c.k == k)
        with self._database.write() as connection:
            # Whoever ends the run waits for this lock, so that no claim is newer than the epochs it has raised.
            of_run = sa.select(runs.c.status).where(runs.c.number == run.number).with_for_update(read=True)
            status = connection.execute(of_run).scalar()
            row = connection.execute(sa.select(chunks).where(this).with_for_update()).mappings().first()
            if status != "in_progress" or row is None or row["done"]:
                return None
            epoch = row["epoch"] + 1
            connection.execute(chunks.update().where(this).values(epoch=epoch))
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
            return ChunkClaim(chunk=chunk, epoch=epoch, done_rows=done, tally=loads(row["tally"]))

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
        chunk = claim.chunk
        with self._database.write() as connection:
            held = connection.execute(
                chunks.update()
                .where(
                    chunks.c.run_number == chunk.run_number,
                    chunks.c.k == chunk.k,
                    chunks.c.epoch == claim.epoch,
                    chunks.c.done.is_(False),
                )
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
                insert_items(connection, chunk.run_number, items)
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


def _done_rows(connection: sa.Connection, chunk: Chunk) -> frozenset[int]:
    """Row indexes of the chunk whose items are committed."""
    base = item_key(chunk.run_number, 0)
    first = base + chunk.first_row
    keys = sa.select(output_items.c.key).where(output_items.c.key >= first, output_items.c.key < first + chunk.rows)
    return frozenset(key - base for key in connection.execute(keys).scalars())
