"""What processes count of themselves, in SQL: one row a process, and one for all that are gone."""

import sqlalchemy as sa

from regrade.core import metrics
from regrade.core.jsontext import dumps, loads
from regrade.core.metrics import Figures, Labels, Metric
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.tables import chunks, process_figures, runs, webhook_deliveries, workers

_GONE = ""
"""The row of all processes that are gone."""
_LOCK = 0x72656772_66696775
"""Of PostgreSQL's advisory locks, the one that whoever moves figures to that row holds."""
_GONE_MILLISECONDS = 60_000
_FRESH_MILLISECONDS = 30_000
_MOST_CHUNKS = 100_000


@repeats_undone
class SqlFigures:
    """ports.FigureStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, process: str, figures: Figures, *, new: bool) -> bool:
        """Write the process's row."""
        values = {"written_at": self._database.milliseconds, "figures": dumps(figures.as_json())}
        with self._database.write() as connection:
            this = process_figures.update().where(process_figures.c.process == process)
            if connection.execute(this.values(**values)).rowcount:
                return True
            if new:
                connection.execute(process_figures.insert().values(process=process, **values))
            return new

    def total(self) -> Figures:
        """Add all rows up; gauges of those alone that were written lately."""
        age = self._database.milliseconds - process_figures.c.written_at
        query = sa.select(process_figures.c.process, process_figures.c.figures, age.label("age"))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        total = Figures()
        for row in rows:
            figures = Figures.from_json(loads(row.figures))
            lives = row.process != _GONE and row.age < _FRESH_MILLISECONDS
            total.merge(figures if lives else figures.lasting())
            total.add(metrics.PROCESSES.name, (), [float(lives)])
        return total

    def retire(self) -> None:
        """Move what silent processes have counted to the row of those that are gone."""
        row = process_figures.c
        silent = sa.and_(row.process != _GONE, row.written_at < self._database.milliseconds - _GONE_MILLISECONDS)
        with self._database.read() as connection:
            if connection.execute(sa.select(row.process).where(silent).limit(1)).first() is None:
                return
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            rows = connection.execute(
                sa.select(row.process, row.figures).where(sa.or_(silent, row.process == _GONE)).with_for_update()
            ).all()
            sums = Figures()
            for each in rows:
                sums.merge(Figures.from_json(loads(each.figures)).lasting())
            connection.execute(process_figures.delete().where(row.process.in_([each.process for each in rows])))
            connection.execute(
                process_figures.insert().values(
                    process=_GONE, written_at=self._database.milliseconds, figures=dumps(sums.as_json())
                )
            )

    def of_database(self) -> list[tuple[Metric, Labels, float]]:
        """Gauges that the database itself knows."""
        by_status = sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status)
        undone = (
            sa.select(chunks.c.k)
            .join(runs, runs.c.number == chunks.c.run_number)
            .where(chunks.c.done.is_(False), runs.c.status == "in_progress")
            .limit(_MOST_CHUNKS)
        )
        waiting = sa.select(sa.func.count()).where(webhook_deliveries.c.due_at.is_not(None))
        living = sa.select(sa.func.count()).select_from(workers).where(workers.c.ended_at.is_(None))
        with self._database.read() as connection:
            return [
                *((metrics.RUNS, (status,), count) for status, count in connection.execute(by_status)),
                (
                    metrics.CHUNKS_WAITING,
                    (),
                    connection.execute(sa.select(sa.func.count()).select_from(undone.subquery())).scalar_one(),
                ),
                (metrics.WORKERS, (), connection.execute(living).scalar_one()),
                (metrics.WEBHOOKS_WAITING, (), connection.execute(waiting).scalar_one()),
                (metrics.DATABASE_BYTES, (), connection.execute(_SIZE[connection.dialect.name]).scalar_one()),
            ]


_SIZE = {
    "sqlite": sa.text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
    "postgresql": sa.text("SELECT pg_database_size(current_database())"),
}
