"""The marker: a blob by which every process knows that it sees the same blobs as the others of its database."""

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from regrade.core.errors import ConfigurationError, NotFoundError
from regrade.ports.blobs import Blobs
from regrade.store.database import Database
from regrade.store.tables import blob_marker

KEY = "marker"
_ONLY = 1


class BlobMarker:
    """A random text that the database remembers and that lies with the blobs."""

    def __init__(self, database: Database, blobs: Blobs, place: str) -> None:
        """`place` is how a person knows where the blobs lie."""
        self._database = database
        self._blobs = blobs
        self._place = place

    def establish(self, secret: str) -> None:
        """For servers: leave the marker at the first start with this database, and check it at each later one.

        Raises ConfigurationError where these are not the blobs of the database.
        """
        text, written = self._remember(secret)
        if not written:
            # The database knew the text first: a start that was killed in between goes on here, and another
            # database's marker is never taken for ours.
            if self._found() is None:
                self._write(text)
            self._compare(text)
            with self._database.write() as connection:
                connection.execute(blob_marker.update().values(written=True))
            return
        self._compare(text)

    def check(self) -> None:
        """For workers. Raises ConfigurationError where they do not see what the server has written."""
        text, written = self._remembered() or ("", False)
        if not written:
            raise ConfigurationError(
                "No server has started on this database yet, so it is not known where its files lie. Start"
                " `regrade serve` on it first."
            )
        self._compare(text)

    def _remember(self, secret: str) -> tuple[str, bool]:
        """What the database remembers, which is this secret if it was nothing."""
        remembered = self._remembered()
        if remembered is None:
            try:
                with self._database.write() as connection:
                    connection.execute(blob_marker.insert().values(id=_ONLY, text=secret, written=False))
            except IntegrityError:  # another server has started at the same moment
                return self._remember(secret)
        return remembered or (secret, False)

    def _remembered(self) -> tuple[str, bool] | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(blob_marker.c.text, blob_marker.c.written)).first()
        return (row.text, row.written) if row else None

    def _found(self) -> str | None:
        try:
            return b"".join(self._blobs.pieces(KEY)).decode()
        except NotFoundError:
            return None

    def _write(self, text: str) -> None:
        writer = self._blobs.writer(KEY)
        try:
            writer.write(text.encode())
            writer.commit()
        finally:
            writer.abort()

    def _compare(self, text: str) -> None:
        found = self._found()
        if found is None:
            raise ConfigurationError(
                f"{self._place} does not hold the files of this database: the server's marker is not there."
                " All servers and workers of a database need the same --blobs; a folder must be a shared one.",
                param="blobs",
            )
        if found != text:
            raise ConfigurationError(
                f"{self._place} holds the files of another database: its marker is a different one."
                " Name --blobs and a database that belong together; a new database needs an empty place.",
                param="blobs",
            )
