"""The schema's version: what a store is upgraded from, and the refusal of one that is newer than this program."""

import sqlalchemy as sa

from regrade.core.errors import ConfigurationError
from regrade.store.database import Database

VERSIONS = ("0001", "0002")
"""All versions, oldest first; each has its file in migrations/versions."""


def upgrade(database: Database) -> None:
    """Bring the store to the newest version, in one transaction that other processes wait for.

    Raises ConfigurationError where a newer program has upgraded it already.
    """
    with database.read() as connection:
        if _version(connection) == VERSIONS[-1]:
            return
    with database.write() as connection:
        version = _version(connection)
        if version is not None and version not in VERSIONS:
            raise ConfigurationError(
                f"The store has the schema {version}, and this program knows up to {VERSIONS[-1]}. "
                "A newer Regrade has used it: run that one, or name another data directory.",
                param="data_dir",
            )
        _migrate(connection)


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
