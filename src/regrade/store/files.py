"""Files in SQL: their records, not their bytes."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from regrade.core.entities import Creation, File, Page, PageRequest
from regrade.core.errors import InvalidError
from regrade.store.creations import remember
from regrade.store.database import Database
from regrade.store.outages import repeats_undone
from regrade.store.tables import files, fine_tuning_jobs, runs


@repeats_undone
class SqlFiles:
    """ports.FileStore. A deleted or expired file's row stays, so that cursors which name it still page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, file: File, creation: Creation | None) -> None:
        """Store a new file."""
        with self._database.write() as connection:
            add_file(connection, file)
            remember(connection, creation, file.id)

    def get(self, project: str, file_id: str, *, now: int) -> File | None:
        """The file, if this project has it and it is neither deleted nor expired."""
        query = sa.select(files).where(files.c.id == file_id, _visible(project, now))
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return _file(row) if row else None

    def page(self, project: str, page: PageRequest, *, purpose: str | None, now: int) -> Page[File]:
        """One page in the order of creation."""
        query = sa.select(files).where(_visible(project, now))
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        with self._database.read() as connection:
            if page.after is not None:
                known = sa.select(files.c.id).where(files.c.id == page.after, files.c.project == project)
                if connection.execute(known).first() is None:
                    raise InvalidError(f"No file found with id '{page.after}' to page after.", param="after")
                query = query.where(files.c.id > page.after if page.order == "asc" else files.c.id < page.after)
            # Ids sort by time of creation, to the nanosecond.
            order = files.c.id.asc() if page.order == "asc" else files.c.id.desc()
            rows = connection.execute(query.order_by(order).limit(page.limit + 1)).mappings().all()
        return Page(data=[_file(row) for row in rows[: page.limit]], has_more=len(rows) > page.limit)

    def delete(self, project: str, file_id: str, *, now: int) -> bool:
        """Let the file vanish from all answers; its bytes go later, by `sweep`."""
        with self._database.write() as connection:
            found = connection.execute(
                files.update().where(files.c.id == file_id, _visible(project, now)).values(deleted_at=now)
            ).rowcount
        return found > 0

    def sweep(self, *, before: int, limit: int) -> list[str]:
        """Blobs of files deleted or expired before then that no unfinished run reads."""
        read = (
            sa.select(runs.c.number)
            .where(runs.c.source_blob == files.c.blob, runs.c.status.in_(("queued", "in_progress")))
            .exists()
        )
        learned = (
            sa.select(fine_tuning_jobs.c.number)
            .where(
                sa.or_(
                    fine_tuning_jobs.c.training_blob == files.c.blob,
                    fine_tuning_jobs.c.validation_blob == files.c.blob,
                ),
                # Whoever goes on with a job on another machine reads them again.
                fine_tuning_jobs.c.status.in_(("validating_files", "queued", "running", "paused")),
            )
            .exists()
        )
        # Two queries rather than one with `or`, for which SQLite would not use the indexes of these few rows.
        gone = (
            sa.select(files.c.blob).where(files.c.blob.is_not(None), past < before, ~read, ~learned)
            for past in (files.c.deleted_at, files.c.expires_at)
        )
        with self._database.read() as connection:
            return list(connection.execute(sa.union(*gone).limit(limit)).scalars())

    def forget(self, blobs: Sequence[str]) -> None:
        """Note that the bytes are gone."""
        with self._database.write() as connection:
            connection.execute(files.update().where(files.c.blob.in_(blobs)).values(blob=None))


def add_file(connection: sa.Connection, file: File) -> None:
    """Store a new file in a transaction that does more than that."""
    connection.execute(files.insert().values(asdict(file)))


def _visible(project: str, now: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        files.c.project == project,
        files.c.deleted_at.is_(None),
        sa.or_(files.c.expires_at.is_(None), files.c.expires_at > now),
    )


def _file(row: sa.RowMapping) -> File:
    return File(
        id=row["id"],
        project=row["project"],
        filename=row["filename"],
        purpose=row["purpose"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=row["status"],
        status_details=row["status_details"],
        blob=row["blob"],
    )
