"""Bytes on their way in: counted, hashed and limited while they arrive."""

import hashlib
from collections.abc import Callable

from regrade.core.errors import TooLargeError
from regrade.ports.blobs import Blobs


class Incoming:
    """A blob that a request is still sending."""

    def __init__(self, blobs: Blobs, blob: str, *, limit: int, too_large: Callable[[], TooLargeError]) -> None:
        self.blob = blob
        self.size = 0
        self._limit = limit
        self._too_large = too_large
        self._sha256 = hashlib.sha256()
        self._writer = blobs.writer(blob)

    @property
    def sha256(self) -> str:
        """Of what has arrived, in hex."""
        return self._sha256.hexdigest()

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises TooLargeError as soon as they are too many."""
        self.size += len(data)
        if self.size > self._limit:
            raise self._too_large()
        self._sha256.update(data)
        self._writer.write(data)

    def commit(self) -> None:
        """All has arrived: keep it."""
        self._writer.commit()

    def abort(self) -> None:
        """Forget it; harmless after commit."""
        self._writer.abort()


def blob_key(kind: str, object_id: str) -> str:
    """Where the bytes of an object lie: in one of 256 folders, by the random end of its id."""
    return f"{kind}/{object_id[-2:]}/{object_id}"
