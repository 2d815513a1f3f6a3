"""Large bytes by key."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol


class BlobWriter(Protocol):
    """Bytes on their way to a blob; nothing is visible before `commit`."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> None:
        """Make the blob visible, whole and durable."""
        ...

    def abort(self) -> None:
        """Forget it; harmless after commit."""
        ...


class Blobs(Protocol):
    """Large bytes by key; keys are made by the server, never by a client."""

    def writer(self, key: str) -> BlobWriter: ...

    def open(self, key: str) -> BinaryIO:
        """Open for reading, seekable. Raises NotFoundError."""
        ...

    def pieces(self, key: str, size: int = 1 << 18) -> Iterator[bytes]:
        """The whole blob in pieces."""
        ...

    def delete(self, key: str) -> None:
        """Forget a blob; harmless where there is none."""
        ...
