"""Runs in SQL. What a run has counted is the sum over its chunks until it ends, and its own row after that."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from regrade.core.entities import Creation, Page, PageRequest, Run, RunStatus
from regrade.core.errors import InvalidError, NotFoundError
from regrade.core.ids import item_key, own_blob
from regrade.core.jsontext import dumps, loads
from regrade.core.results import Counts, Tally, merged
from regrade.core.webhooks import OF_RUNS
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.pages import taken
from regrade.store.tables import chunks, evals, output_item_bodies, output_items, runs
from regrade.store.webhook_deliveries import announce
from regrade.types.json import JsonObject

ACTIVE = ("queued", "in_progress")


@repeats_undone
class SqlRuns:
    """ports.RunStore. A deleted run's row stays, so that cursors which name it still page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: Run, creation: Creation | None) -> Run:
        """Store a queued run; returned with its number. Raises NotFoundError where its eval was just deleted."""
        with self._database.write() as connection:
            # Whoever deletes the eval waits for this lock, and deletes this run too.
            eval_ = sa.select(evals.c.deleted_at).where(evals.c.id == run.eval_id).with_for_update(read=True)
            if connection.execute(eval_).scalar() is not None:
                raise NotFoundError(f"No eval found with id '{run.eval_id}'.", param="eval_id")
            number = connection.execute(
                runs.insert().values(
                    id=run.id,
                    eval_id=run.eval_id,
                    project=run.project,
                    name=run.name,
                    status=run.status,
                    model=run.model,
                    created_at=run.created_at,
                    source_blob=run.source_blob,
                    inline=run.inline,
                    has_secrets=run.has_secrets,
                    data_source=dumps(run.data_source),
                    metadata=dumps(run.metadata),
                    extra=dumps(run.extra) if run.extra else None,
                )
            ).inserted_primary_key
            remember(connection, creation, run.id)
        return replace(run, number=number[0] if number else 0)

    def get(self, project: str, eval_id: str, run_id: str) -> Run | None:
        """The run, if this eval of this project has it."""
        return self._one(runs.c.id == run_id, runs.c.eval_id == eval_id, runs.c.project == project)

    def find(self, run_id: str) -> Run | None:
        """The run, whosever it is."""
        return self._one(runs.c.id == run_id)

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Run | None:
        with self._database.read() as connection:
            row = (
                connection.execute(sa.select(runs).where(*conditions, runs.c.deleted_at.is_(None)))
                .mappings()
                .first()
            )
            return _runs(connection, [row])[0] if row else None

    def page(self, project: str, eval_id: str, page: PageRequest, *, status: RunStatus | None) -> Page[Run]:
        """One page in the order of creation."""
        of_eval = sa.and_(runs.c.eval_id == eval_id, runs.c.project == project)
        query = sa.select(runs).where(of_eval, runs.c.deleted_at.is_(None))
        if status is not None:
            query = query.where(runs.c.status == status)
        with self._database.read() as connection:
            if page.after is not None:
                if connection.execute(sa.select(runs.c.id).where(runs.c.id == page.after, of_eval)).first() is None:
                    raise InvalidError(f"No run found with id '{page.after}' to page after.", param="after")
                query = query.where(runs.c.id > page.after if page.order == "asc" else runs.c.id < page.after)
            order = runs.c.id.asc() if page.order == "asc" else runs.c.id.desc()
            rows, has_more = taken(
                connection.execute(query.order_by(order).limit(page.limit + 1)).mappings(), page.limit
            )
            return Page(data=_runs(connection, rows), has_more=has_more)

    def tally(self, run: Run) -> Tally:
        """The aggregates as committed by now."""
        with self._database.read() as connection:
            return run_tally(connection, run)

    def cancel(self, run: Run, *, now: int) -> None:
        """End the run and fence off its chunks, in one commit."""
        with self._database.write() as connection:
            end_runs(connection, runs.c.number == run.number, "canceled", now=now)

    def delete(self, run: Run, *, now: int) -> None:
        """Delete the run in one commit; see `delete_runs`."""
        with self._database.write() as connection:
            delete_runs(connection, runs.c.number == run.number, now=now)

    def fail(self, run: Run, error: JsonObject, *, now: int) -> None:
        """End the run as failed, and fence off its chunks."""
        with self._database.write() as connection:
            end_runs(connection, runs.c.number == run.number, "failed", now=now, error=dumps(error))

    def unfinished(self) -> list[Run]:
        """Every queued or running run, oldest first."""
        query = sa.select(runs).where(runs.c.status.in_(ACTIVE), runs.c.deleted_at.is_(None))
        with self._database.read() as connection:
            return _runs(connection, connection.execute(query.order_by(runs.c.id)).mappings().all())

    def ended_with_secrets(self, *, limit: int) -> list[Run]:
        """Runs that have ended, deleted ones too, and still have their secrets."""
        query = sa.select(runs).where(runs.c.has_secrets.is_(True), runs.c.status.not_in(ACTIVE)).limit(limit)
        with self._database.read() as connection:
            return _runs(connection, connection.execute(query).mappings().all())

    def forget_secrets(self, run: Run) -> None:
        """Note that the blob of the run's secrets is gone."""
        with self._database.write() as connection:
            connection.execute(runs.update().where(runs.c.number == run.number).values(has_secrets=False))

    def sweep(self, *, now: int, limit: int) -> list[str]:
        """Remove up to `limit` items of deleted runs; a run whose last item went gives its own blob back."""
        gone = sa.select(runs.c.number, runs.c.id, runs.c.source_blob).where(
            runs.c.deleted_at.is_not(None), runs.c.swept_at.is_(None)
        )
        blobs: list[str] = []
        with self._database.write() as connection:
            gone = gone.limit(100).with_for_update(skip_locked=True)  # two sweepers at once take different runs
            for number, run_id, blob in connection.execute(gone).all():
                removed = _delete_items(connection, number, limit)
                limit -= removed
                if limit <= 0:
                    break
                connection.execute(chunks.delete().where(chunks.c.run_number == number))
                connection.execute(runs.update().where(runs.c.number == number).values(swept_at=now))
                if blob == own_blob(run_id):
                    blobs.append(blob)
        return blobs


def end_runs(
    connection: sa.Connection, which: sa.ColumnElement[bool], status: RunStatus, *, now: int, **values: Any
) -> None:
    """End every active run of `which`: totals are frozen, and a new epoch refuses whoever still writes.

    Webhooks tell of it, unless the run is deleted: nobody could ask for it any more.
    """
    active = sa.select(runs).where(which, runs.c.status.in_(ACTIVE)).order_by(runs.c.number).with_for_update()
    for row in connection.execute(active).mappings().all():
        run = _run(row)
        connection.execute(
            chunks.update().where(chunks.c.run_number == run.number).values(epoch=chunks.c.epoch + 1)
        )
        tally = run_tally(connection, run)
        connection.execute(
            runs.update()
            .where(runs.c.number == run.number)
            .values(status=status, finished_at=now, tally=dumps(tally.as_json()), **_counts(tally), **values)
        )
        if "deleted_at" not in values:
            announce(connection, run.project, OF_RUNS[status], run.id, now=now)


def delete_runs(connection: sa.Connection, which: sa.ColumnElement[bool], *, now: int) -> None:
    """Cancel and hide every run of `which`; `SqlRuns.sweep` removes their items."""
    end_runs(connection, which, "canceled", now=now, deleted_at=now)
    connection.execute(runs.update().where(which, runs.c.deleted_at.is_(None)).values(deleted_at=now))


def run_tally(connection: sa.Connection, run: Run) -> Tally:
    """The sum of the run's chunks; of an ended run, the sum that it ended with."""
    stored = connection.execute(sa.select(runs.c.tally).where(runs.c.number == run.number)).scalar()
    if stored is not None:
        return Tally.from_json(loads(stored))
    criteria = connection.execute(sa.select(evals.c.testing_criteria).where(evals.c.id == run.eval_id)).scalar()
    tallies = connection.execute(
        sa.select(chunks.c.tally).where(chunks.c.run_number == run.number).order_by(chunks.c.k)
    ).scalars()
    return merged(map(loads, tallies), [criterion["id"] for criterion in loads(criteria or b"[]")])


def _counts(tally: Tally) -> dict[str, int]:
    return {"passed": tally.passed, "failed": tally.failed, "errored": tally.errored}


def _delete_items(connection: sa.Connection, number: int, limit: int) -> int:
    """Remove up to `limit` of a run's items; how many there were."""
    first, end = item_key(number, 0), item_key(number + 1, 0)
    of_run = sa.and_(output_items.c.key >= first, output_items.c.key < end)
    nth = sa.select(output_items.c.key).where(of_run).order_by(output_items.c.key).offset(limit).limit(1)
    stop = connection.execute(nth).scalar() or end
    removed = connection.execute(
        output_items.delete().where(output_items.c.key >= first, output_items.c.key < stop)
    ).rowcount
    connection.execute(
        output_item_bodies.delete().where(output_item_bodies.c.key >= first, output_item_bodies.c.key < stop)
    )
    return removed


def _runs(connection: sa.Connection, rows: Iterable[sa.RowMapping]) -> list[Run]:
    """Runs with their counts as they are in this snapshot."""
    found = [_run(row) for row in rows]
    running = [run.number for run in found if run.status == "in_progress"]
    if not running:
        return found
    sums = connection.execute(
        sa.select(
            chunks.c.run_number,
            *(
                sa.cast(sa.func.sum(each), sa.BigInteger)
                for each in (chunks.c.passed, chunks.c.failed, chunks.c.errored)
            ),
        )
        .where(chunks.c.run_number.in_(running))
        .group_by(chunks.c.run_number)
    ).all()
    counts = {
        number: Counts(passed=passed, failed=failed, errored=errored) for number, passed, failed, errored in sums
    }
    waiting = _waiting(connection, running)
    return [
        replace(run, counts=counts[run.number], waiting=waiting.get(run.number, {}))
        if run.number in counts
        else run
        for run in found
    ]


def _waiting(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    """For each run the endpoints that its chunks wait for, and since when."""
    rows = connection.execute(
        sa.select(chunks.c.run_number, chunks.c.waiting).where(
            chunks.c.run_number.in_(numbers), chunks.c.waiting.is_not(None)
        )
    ).all()
    found: dict[int, dict[str, int]] = {}
    for number, waiting in rows:
        endpoints = found.setdefault(number, {})
        for endpoint, since in loads(waiting).items():
            endpoints[endpoint] = min(since, endpoints.get(endpoint, since))
    return found


def _run(row: sa.RowMapping) -> Run:
    tally = Tally.from_json(loads(row["tally"])) if row["tally"] is not None else Tally()
    return Run(
        number=row["number"],
        id=row["id"],
        eval_id=row["eval_id"],
        project=row["project"],
        name=row["name"],
        status=row["status"],
        model=row["model"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        data_source=loads(row["data_source"]),
        source_blob=row["source_blob"],
        inline=row["inline"],
        has_secrets=row["has_secrets"],
        metadata=loads(row["metadata"]),
        extra=loads(row["extra"]) if row["extra"] is not None else {},
        error=loads(row["error"]) if row["error"] is not None else None,
        rows=row["row_count"],
        counts=tally.counts,
        criteria=tally.criteria,
        usage=tally.usage.as_json(),
    )
