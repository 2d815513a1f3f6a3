"""Workers in SQL: who lives, by the database's clock."""

from collections.abc import Collection

import sqlalchemy as sa

from regrade.core.entities import Worker
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.tables import workers

_LIVES = workers.c.ended_at.is_(None)


@repeats_undone
class SqlWorkers:
    """ports.WorkerStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, worker: Worker) -> None:
        """Register the worker in its place."""
        now = self._database.milliseconds
        with self._database.write() as connection:
            if worker.server is not None:
                before = sa.and_(workers.c.server == worker.server, workers.c.slot == worker.slot, _LIVES)
                connection.execute(workers.update().where(before).values(ended_at=now, lost=True))
            connection.execute(
                workers.insert().values(
                    id=worker.id,
                    host=worker.host,
                    pid=worker.pid,
                    server=worker.server,
                    slot=worker.slot,
                    started_at=now,
                    heartbeat_at=now,
                    lost=False,
                )
            )

    def train(self, worker_id: str, mark: str) -> str | None:
        """Note where the worker trains, unless an older one trains elsewhere."""
        self._update(worker_id, trains=mark)
        elsewhere = sa.and_(_LIVES, workers.c.trains != mark, workers.c.id < worker_id)
        with self._database.read() as connection:
            host = connection.execute(sa.select(workers.c.host).where(elsewhere).limit(1)).scalar()
        if host is not None:
            self._update(worker_id, trains=None)
        return host

    def somebody_trains(self) -> bool:
        """Whether a living worker trains."""
        query = sa.select(workers.c.id).where(_LIVES, workers.c.trains.is_not(None)).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def renew(self, worker_id: str) -> bool:
        """Note the time, unless the worker has ended."""
        return self._update(worker_id, heartbeat_at=self._database.milliseconds)

    def end(self, worker_id: str) -> None:
        """Note a good end."""
        self._update(worker_id, ended_at=self._database.milliseconds)

    def end_of_server(self, server: str) -> None:
        """End all that the server started in its former life."""
        with self._database.write() as connection:
            of_server = workers.update().where(workers.c.server == server, _LIVES)
            connection.execute(of_server.values(ended_at=self._database.milliseconds))

    def silent(self, milliseconds: int) -> dict[str, int]:
        """By age of the heartbeat; one from the future comes from a clock that was set."""
        now = self._database.milliseconds
        odd = sa.not_(workers.c.heartbeat_at.between(now - milliseconds, now + milliseconds))
        with self._database.read() as connection:
            rows = connection.execute(sa.select(workers.c.id, workers.c.heartbeat_at).where(_LIVES, odd)).all()
        return {row.id: row.heartbeat_at for row in rows}

    def lose(self, worker_id: str, heartbeat_at: int) -> bool:
        """Declare the worker dead if that heartbeat is still its last."""
        silent = sa.and_(workers.c.id == worker_id, workers.c.heartbeat_at == heartbeat_at, _LIVES)
        with self._database.write() as connection:
            dead = workers.update().where(silent).values(ended_at=self._database.milliseconds, lost=True)
            return connection.execute(dead).rowcount > 0

    def alive(self) -> Collection[str]:
        """All that have not ended."""
        with self._database.read() as connection:
            return set(connection.execute(sa.select(workers.c.id).where(_LIVES)).scalars())

    def is_oldest(self, worker_id: str) -> bool:
        """Ids sort by their creation, so the smallest that lives is the oldest."""
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.min(workers.c.id)).where(_LIVES)).scalar() == worker_id

    def sweep(self, *, seconds: int) -> int:
        """Forget those that ended long ago."""
        before = self._database.milliseconds - seconds * 1000
        with self._database.write() as connection:
            return connection.execute(workers.delete().where(workers.c.ended_at < before)).rowcount

    def _update(self, worker_id: str, **values: sa.ColumnElement[int] | str | None) -> bool:
        with self._database.write() as connection:
            this = workers.update().where(workers.c.id == worker_id, _LIVES)
            return connection.execute(this.values(**values)).rowcount > 0
