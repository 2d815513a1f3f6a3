"""Large bytes by key."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol

BLOB_KINDS = ("files", "parts", "runs", "secrets")
"""What the keys of blobs that belong to records begin with."""


class BlobEntry(NamedTuple):
    """A blob that is there, whether or not anything needs it."""

    key: str
    modified_at: int
    """Unix seconds."""


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
        """Open for reading, seekable; reads from where one seeks to, not the whole. Raises NotFoundError."""
        ...

    def pieces(self, key: str, size: int = 1 << 18) -> Iterator[bytes]:
        """The whole blob in pieces."""
        ...

    def delete(self, key: str) -> None:
        """Forget a blob; harmless where there is none."""
        ...

    def clean(self) -> int:
        """Remove what writers left that died before they could commit or abort; how many there were."""
        ...

    def entries(self, kind: str) -> Iterator[BlobEntry]:
        """Every blob of a kind, found while one goes on; what comes or goes meanwhile may be missing."""
        ...


class BlobOwners(Protocol):
    """Which records blobs belong to."""

    def owned(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that a record names, so that their own sweeps will delete them."""
        ...
