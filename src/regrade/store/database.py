"""The connection to SQL: reads that never wait, writes that are serialized from their first statement."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

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


class Database:
    """Regrade's tables, on SQLite (a path) or PostgreSQL (a URL)."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._writing = threading.Lock() if self._sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one snapshot for as long as it is open."""
        with self.engine.connect() as connection:
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
        with needing_room(), self._writing, self.engine.begin() as connection:
            if self._sqlite:
                # The write lock is taken now, so that nothing read here can change before it is written.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
