"""API keys and browser sessions in SQL: hashes only, never a secret."""

import sqlalchemy as sa

from regrade.core.entities import Key
from regrade.store.conflicts import Inserts
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.tables import keys, sessions

_INSERT_NEW = Inserts(keys, lambda insert: insert.on_conflict_do_nothing(index_elements=[keys.c.hash]))


@repeats_undone
class SqlKeys:
    """ports.KeyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: Key, key_hash: bytes) -> None:
        """Store a new key, unless its secret has one: servers that start together take the same admin key file."""
        values = {
            "id": key.id,
            "hash": key_hash,
            "project": key.project,
            "name": key.name,
            "hint": key.hint,
            "admin": key.admin,
            "created_at": key.created_at,
        }
        with self._database.write() as connection:
            connection.execute(_INSERT_NEW.on(connection), values)

    def active(self) -> list[tuple[bytes, Key]]:
        """(hash, key) of every key that is not revoked."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(keys).where(keys.c.revoked_at.is_(None))).mappings().all()
        return [(row["hash"], _key(row)) for row in rows]

    def all(self) -> list[Key]:
        """Every key that ever was, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.id)).mappings().all()
        return [_key(row) for row in rows]

    def revoke(self, key_id: str, *, now: int) -> bool:
        """End a key, and with it its sessions; False where there is no such active key."""
        with self._database.write() as connection:
            revoked = connection.execute(
                keys.update().where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now)
            ).rowcount
            connection.execute(sessions.delete().where(sessions.c.key_id == key_id))
        return revoked > 0

    def add_session(self, session_hash: bytes, key_id: str, *, expires_at: int, now: int) -> None:
        """Store a new session, and let go of expired ones."""
        with self._database.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
            connection.execute(sessions.insert().values(hash=session_hash, key_id=key_id, expires_at=expires_at))

    def session(self, session_hash: bytes, *, now: int) -> Key | None:
        """The key of an unexpired session, unless it was revoked."""
        query = (
            sa.select(keys)
            .join(sessions, sessions.c.key_id == keys.c.id)
            .where(sessions.c.hash == session_hash, sessions.c.expires_at > now, keys.c.revoked_at.is_(None))
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return _key(row) if row else None

    def end_session(self, session_hash: bytes) -> None:
        """Forget a session; harmless where there is none."""
        with self._database.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.hash == session_hash))


def _key(row: sa.RowMapping) -> Key:
    return Key(
        id=row["id"],
        project=row["project"],
        name=row["name"],
        hint=row["hint"],
        admin=row["admin"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
