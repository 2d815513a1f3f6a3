"""The schema's version: what a store is upgraded from, and the refusal of one that is newer than this program."""

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from regrade.core.errors import ConfigurationError, UnavailableError
from regrade.store.database import Database

VERSIONS = ("0001", "0002", "0003")
"""All versions, oldest first; each has its file in migrations/versions."""


_LOCK = 0x7265_6772_6164_6531
"""Of PostgreSQL's advisory locks, the one that whoever upgrades a store holds."""


def upgrade(database: Database) -> None:
    """Bring the store to the newest version, in one transaction that other processes wait for.

    Raises ConfigurationError where a newer program has upgraded it already, or the database cannot be used.
    """
    try:
        _upgrade(database)
    except (UnavailableError, DBAPIError) as error:
        if database.engine.dialect.name != "postgresql":
            raise
        cause = error if isinstance(error, DBAPIError) else error.__cause__
        reason = str(getattr(cause, "orig", cause)).strip().splitlines()[0]
        url = database.engine.url
        where = f"{url.host or url.query.get('host') or 'this machine'}, database {url.database or url.username}"
        raise ConfigurationError(
            f"PostgreSQL on {where}, cannot be used as --database-url has it: {reason}.", param="database_url"
        ) from error


def _upgrade(database: Database) -> None:
    with database.read() as connection:
        _require_unicode(connection)
        if _version(connection) == VERSIONS[-1]:
            return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            # On SQLite this transaction is the lock.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        version = _version(connection)
        if version is not None and version not in VERSIONS:
            raise ConfigurationError(
                f"The store has the schema {version}, and this program knows up to {VERSIONS[-1]}. "
                "A newer Regrade has used it: run that one, or name another data directory or database.",
                param="data_dir",
            )
        if version != VERSIONS[-1]:  # another process was faster
            _migrate(connection)


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
