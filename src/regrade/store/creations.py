"""Creates of the last minutes in SQL, written in the same commit as the object that each made."""

from typing import Any

import sqlalchemy as sa

from regrade.core.entities import Creation
from regrade.store.conflicts import Inserts
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.tables import creations

_KEPT_SECONDS = 3600  # well above the ten minutes in which a repeat counts
_FORGOTTEN_AT_ONCE = 50  # more than one goes for each one that comes, and no create pays for a long backlog


@repeats_undone
class SqlCreations:
    """ports.CreationStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, fingerprint: str, *, since: int) -> str | None:
        """The id of the object that the latest such create made, unless that was before `since`."""
        query = sa.select(creations.c.object_id).where(
            creations.c.fingerprint == fingerprint, creations.c.created_at >= since
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def add(self, fingerprint: str, object_id: str, *, now: int) -> None:
        """Note a create whose object's store does not."""
        with self._database.write() as connection:
            remember(connection, Creation(fingerprint=fingerprint, created_at=now), object_id)


def remember(connection: sa.Connection, creation: Creation | None, object_id: str) -> None:
    """Note, in the object's own transaction, which create made it; the latest of equal creates counts."""
    if creation is None:
        return
    connection.execute(_FORGET, {"before": creation.created_at - _KEPT_SECONDS})
    connection.execute(
        _REMEMBER.on(connection),
        {"fingerprint": creation.fingerprint, "object_id": object_id, "created_at": creation.created_at},
    )


def _replacing(insert: Any) -> sa.Executable:
    latest = {"object_id": insert.excluded.object_id, "created_at": insert.excluded.created_at}
    statement: sa.Executable = insert.on_conflict_do_update(index_elements=[creations.c.fingerprint], set_=latest)
    return statement


_FORGET = creations.delete().where(
    creations.c.fingerprint.in_(
        sa.select(creations.c.fingerprint)
        .where(creations.c.created_at < sa.bindparam("before"))
        .limit(_FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)  # PostgreSQL: two creates at once take different rows
    )
)
_REMEMBER = Inserts(creations, _replacing)
