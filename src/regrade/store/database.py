"""The connection to SQL: reads that never wait, writes that are serialized from their first statement."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from regrade.core.metrics import DATABASE_WRITES, Metrics, Series
from regrade.store.outages import outage
from regrade.store.room import needing_room

# Measured for this load: WAL lets readers pass writers, 16 KiB pages fit several output items each.
_PRAGMAS = (
    "PRAGMA busy_timeout=30000",
    "PRAGMA page_size=16384",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA mmap_size=268435456",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",
)


_SQLITE_CLOCK = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
_POSTGRES_CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


def sqlite_engine(path: Path) -> sa.Engine:
    """An engine on a SQLite file with this project's pragmas; transactions begin only where we say so."""
    # Last in, first out: the connection that was used last has the pages in its cache.
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=8, max_overflow=32, pool_use_lifo=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a read before a write
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    return engine


_KEPT_CONNECTIONS = 4
# What libpq is told unless the URL says otherwise: a network that swallows packets is noticed within seconds, ...
_NETWORK = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "regrade",
}
# ... and whoever freezes within a transaction, or is cut off in it, gives its locks back.
_SESSION = "-c idle_in_transaction_session_timeout=10000 -c tcp_keepalives_idle=5 -c tcp_user_timeout=10000"


def postgres_engine(url: str, *, connections: int = 16) -> sa.Engine:
    """An engine on a PostgreSQL database, with so many connections at most, made as they are needed."""
    found = sa.make_url(url).set(drivername="postgresql+psycopg")
    arguments = {key: value for key, value in _NETWORK.items() if key not in found.query}
    arguments["options"] = f"{_SESSION} {found.query.get('options', '')}"
    return sa.create_engine(
        found,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=connections - _KEPT_CONNECTIONS,
        pool_use_lifo=True,
        connect_args=arguments,
        hide_parameters=True,
    )


class Database:
    """Regrade's tables, on SQLite or PostgreSQL.

    On SQLite one transaction writes at a time. On PostgreSQL writers pass each other, so whoever depends on what it
    reads locks it with `with_for_update`, which SQLite has no need of and SQLAlchemy leaves out there. A run is
    locked before its chunks, an eval before its runs: nobody waits in a circle.
    """

    def __init__(self, engine: sa.Engine, writes: Series | None = None) -> None:
        """`writes` is told how long each transaction that writes has taken."""
        self.engine = engine
        self._writes = writes or Metrics().of(DATABASE_WRITES)
        self._sqlite = engine.dialect.name == "sqlite"
        self._writing = threading.Lock() if self._sqlite else nullcontext()
        self._snapshots = (
            engine
            if self._sqlite
            else engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one snapshot for as long as it is open."""
        with self._naming_outages(), self._snapshots.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end or rolled back whole."""
        # SQLite has one writer at a time. Threads of this process take turns here, because SQLite itself makes who
        # finds it busy sleep for milliseconds; only other processes meet that.
        started = time.perf_counter()
        with self._naming_outages() as progress, needing_room(), self._writing, self.engine.begin() as connection:
            if self._sqlite:
                # The write lock is taken now, so that nothing read here can change before it is written.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            progress.committing = True
        self._writes.observe(time.perf_counter() - started)

    @property
    def milliseconds(self) -> sa.ColumnElement[int]:
        """The database's own clock, in Unix milliseconds: the same for every process that asks it."""
        clock = _SQLITE_CLOCK if self._sqlite else _POSTGRES_CLOCK
        return sa.literal_column(clock, sa.BigInteger)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _naming_outages(self) -> Iterator["_Progress"]:
        progress = _Progress()
        try:
            yield progress
        except (DBAPIError, PoolTimeoutError) as error:
            named = None if self._sqlite else outage(error, committing=progress.committing)
            if named is None:
                raise
            raise named from error


class _Progress:
    """How far a transaction has come."""

    committing = False
