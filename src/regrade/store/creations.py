"""Which create made which object, so that a repeated create makes nothing new."""

import sqlalchemy as sa

from regrade.core.entities import Creation
from regrade.store.database import Database
from regrade.store.tables import creations

REMEMBERED_SECONDS = 600


class SqlCreations:
    """ports.CreationStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, fingerprint: str, *, since: int) -> str | None:
        """The id of the object that a create with this fingerprint made at or after `since`."""
        query = sa.select(creations.c.object_id).where(
            creations.c.fingerprint == fingerprint, creations.c.created_at >= since
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def sweep(self, *, now: int) -> None:
        """Forget creates that are too old to be repeated."""
        with self._database.write() as connection:
            connection.execute(creations.delete().where(creations.c.created_at < now - REMEMBERED_SECONDS))


def remember(connection: sa.Connection, creation: Creation | None, object_id: str) -> None:
    """Note, in the transaction that stores the object, what made it; the newest of equal creates counts."""
    if creation is None:
        return
    values = {"object_id": object_id, "created_at": creation.created_at}
    known = creations.update().where(creations.c.fingerprint == creation.fingerprint).values(values)
    if connection.execute(known).rowcount == 0:
        connection.execute(creations.insert().values(fingerprint=creation.fingerprint, **values))
