"""Which records blobs belong to, in SQL: what may be deleted as an orphan, and what a backup must hold."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from regrade.core.ids import secrets_blob
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.runs import ACTIVE
from regrade.store.tables import files, runs, upload_parts, uploads


@repeats_undone
class SqlBlobOwners:
    """ports.BlobOwners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owned(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that a record names."""
        secrets = {key: key.removeprefix("secrets/") for key in keys if key.startswith("secrets/")}
        by_name = sa.union(
            sa.select(files.c.blob).where(files.c.blob.in_(keys)),
            sa.select(upload_parts.c.blob).where(upload_parts.c.blob.in_(keys)),
        )
        run_ids = [key.removeprefix("runs/") for key in keys if key.startswith("runs/")]
        # A queued run's rows are chosen before its record names them.
        unswept = sa.select(runs.c.id).where(runs.c.id.in_(run_ids), runs.c.swept_at.is_(None))
        secret = sa.select(runs.c.id).where(runs.c.id.in_(list(secrets.values())), runs.c.has_secrets.is_(True))
        with self._database.read() as connection:
            found = set(connection.execute(by_name).scalars())
            found |= {f"runs/{run_id}" for run_id in connection.execute(unswept).scalars()}
            found |= {secrets_blob(run_id) for run_id in connection.execute(secret).scalars()}
        return found


def needed(connection: sa.Connection, *, now: int) -> Iterator[str]:
    """The blobs that the records of this moment cannot do without; the rest is about to be swept."""
    active = sa.select(runs.c.source_blob).where(runs.c.status.in_(ACTIVE), runs.c.source_blob.is_not(None))
    here = sa.and_(files.c.deleted_at.is_(None), sa.or_(files.c.expires_at.is_(None), files.c.expires_at > now))
    queries = (
        sa.select(files.c.blob).where(files.c.blob.is_not(None), here),
        active.where(runs.c.deleted_at.is_(None)),
        sa.select(runs.c.source_blob).where(runs.c.source_blob.startswith("runs/"), runs.c.deleted_at.is_(None)),
        sa.select(upload_parts.c.blob)
        .join(uploads, uploads.c.id == upload_parts.c.upload_id)
        .where(uploads.c.status == "pending", uploads.c.expires_at > now),
    )
    for query in queries:
        yield from connection.execute(query).scalars()
    secret = sa.select(runs.c.id).where(runs.c.has_secrets.is_(True), runs.c.status.in_(ACTIVE))
    for run_id in connection.execute(secret).scalars():
        yield secrets_blob(run_id)
