"""The schema's version: what a store is upgraded from, and the refusal of one that is newer than this program."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from regrade.core.errors import ConfigurationError, UnavailableError
from regrade.store.database import Database

VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""All versions, oldest first; each has its file in migrations/versions."""

_LOCK = 0x7265_6772_6164_6531
"""Of PostgreSQL's advisory locks, the one that whoever upgrades a store holds."""


def upgrade(database: Database) -> None:
    """Bring the store to the newest version, in one transaction that other processes wait for.

    Raises ConfigurationError where a newer program has upgraded it already, or the database cannot be used.
    """
    if look(database) == VERSIONS[-1]:
        return
    with _explaining(database), database.write() as connection:
        if connection.dialect.name == "postgresql":
            # On SQLite this transaction is the lock.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _checked_version(connection) != VERSIONS[-1]:  # perhaps another process was faster
            _migrate(connection)


def look(database: Database) -> str | None:
    """The store's version, None where it is empty; changes nothing. Raises ConfigurationError as `upgrade`."""
    with _explaining(database), database.read() as connection:
        _require_unicode(connection)
        return _checked_version(connection)


@contextmanager
def _explaining(database: Database) -> Iterator[None]:
    """Say what PostgreSQL says against being used."""
    try:
        yield
    except (UnavailableError, DBAPIError) as error:
        if database.engine.dialect.name != "postgresql":
            raise
        cause = error if isinstance(error, DBAPIError) else error.__cause__
        reason = str(getattr(cause, "orig", cause)).strip().splitlines()[0].rstrip(".")
        url = database.engine.url
        raise ConfigurationError(
            f"The PostgreSQL database {url.database or url.username} of --database-url cannot be used: {reason}.",
            param="database_url",
        ) from error


def _checked_version(connection: sa.Connection) -> str | None:
    version = _version(connection)
    if version is not None and version not in VERSIONS:
        raise ConfigurationError(
            f"The store has the schema {version}, and this program knows up to {VERSIONS[-1]}. "
            "A newer Regrade has used it: run that one, or name another data directory or database.",
            param="data_dir",
        )
    return version


def _require_unicode(connection: sa.Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The PostgreSQL database stores its texts as {encoding}, and Regrade needs UTF8. "
            "Make another: CREATE DATABASE regrade ENCODING 'UTF8' TEMPLATE template0",
            param="database_url",
        )


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: sa.Connection) -> None:
    from alembic import command  # heavy, and needed only when there is something to upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "regrade.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
