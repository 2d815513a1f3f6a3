"""Uploads and their parts in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import sqlalchemy as sa

from regrade.core.entities import Creation, File, Upload, UploadPart
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.files import add_file
from regrade.store.outages import repeats_undone
from regrade.store.tables import upload_parts, uploads


@repeats_undone
class SqlUploads:
    """ports.UploadStore. A part's row goes with its bytes, an upload's row stays."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: Upload, creation: Creation | None) -> None:
        """Store a new upload."""
        with self._database.write() as connection:
            connection.execute(uploads.insert().values(asdict(upload)))
            remember(connection, creation, upload.id)

    def get(self, project: str, upload_id: str) -> Upload | None:
        """The upload, if this project has it."""
        query = sa.select(uploads).where(uploads.c.id == upload_id, uploads.c.project == project)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return _upload(row) if row else None

    def add_part(self, part: UploadPart, creation: Creation | None) -> None:
        """Store a new part."""
        with self._database.write() as connection:
            connection.execute(upload_parts.insert().values(asdict(part)))
            remember(connection, creation, part.id)

    def parts(self, upload_id: str) -> list[UploadPart]:
        """The parts that have arrived, in order of arrival."""
        query = sa.select(upload_parts).where(upload_parts.c.upload_id == upload_id).order_by(upload_parts.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [_part(row) for row in rows]

    def complete(self, upload: Upload, file: File) -> bool:
        """Set a pending upload completed and add its file, in one commit; False where it is not pending."""
        with self._database.write() as connection:
            was_pending = _end(connection, upload.id, status="completed", file_id=file.id)
            if was_pending:
                add_file(connection, file)
        return was_pending

    def end(self, upload_id: str, status: Literal["cancelled", "expired"]) -> bool:
        """End a pending upload; False where it is not pending."""
        with self._database.write() as connection:
            return _end(connection, upload_id, status=status)

    def sweep(self, *, before: int, limit: int) -> list[str]:
        """Blobs of the parts of ended uploads; up to `limit` pending ones that expired before then end first."""
        overdue = (
            sa.select(uploads.c.id).where(uploads.c.status == "pending", uploads.c.expires_at < before).limit(limit)
        )
        ended = (
            sa.select(upload_parts.c.blob)
            .join(uploads, uploads.c.id == upload_parts.c.upload_id)
            .where(uploads.c.status != "pending")
            .limit(limit)
        )
        with self._database.write() as connection:
            connection.execute(uploads.update().where(uploads.c.id.in_(overdue)).values(status="expired"))
            return [blob for (blob,) in connection.execute(ended)]

    def forget(self, blobs: Sequence[str]) -> None:
        """Note that the bytes of these parts are gone."""
        with self._database.write() as connection:
            connection.execute(upload_parts.delete().where(upload_parts.c.blob.in_(blobs)))


def _end(connection: sa.Connection, upload_id: str, **values: str) -> bool:
    ended = connection.execute(
        uploads.update().where(uploads.c.id == upload_id, uploads.c.status == "pending").values(**values)
    )
    return ended.rowcount > 0


def _upload(row: sa.RowMapping) -> Upload:
    return Upload(**row)


def _part(row: sa.RowMapping) -> UploadPart:
    return UploadPart(**row)
