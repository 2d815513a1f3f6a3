"""Large bytes as files on disk: invisible until whole, durable once visible."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from regrade.core.errors import NotFoundError
from regrade.ports.blobs import BlobEntry
from regrade.store.room import needing_room

# No dot and no empty segment: nothing that matches can leave the root or name a file of `_INCOMING`.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9_-]{0,127}){0,3}")
_INCOMING = ".incoming"


def checked_key(key: str) -> str:
    """The key, which is a mistake of ours where it does not look like one."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is not a blob key.")
    return key


class DiskBlobs:
    """Blobs under one directory, which several processes may share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)

    def writer(self, key: str) -> "DiskBlobWriter":
        """Begin a blob; it takes the place of an earlier one of the same key when it is committed."""
        with needing_room():
            return DiskBlobWriter(self._path(key), self._incoming)

    def open(self, key: str) -> BinaryIO:
        """Open for reading, seekable. Raises NotFoundError."""
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"The bytes of {key} are not in the blob directory any more.") from None

    def pieces(self, key: str, size: int = 1 << 18) -> Iterator[bytes]:
        """The whole blob in pieces. Raises NotFoundError now rather than in the middle of an answer."""
        pieces = self._pieces(key, size)
        next(pieces)
        return pieces

    def delete(self, key: str) -> None:
        """Forget a blob; harmless where there is none."""
        self._path(key).unlink(missing_ok=True)

    def clean(self) -> int:
        """Remove what writers left that died before they could commit or abort; how many there were.

        A living writer, of this process or another, holds a lock on its file, which the kernel lets go with it.
        """
        return sum(_remove_unless_locked(path) for path in self._incoming.iterdir())

    def entries(self, kind: str) -> Iterator[BlobEntry]:
        """Every blob of a kind."""
        for folder, _, names in os.walk(self._path(kind)):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # it went meanwhile
                    yield BlobEntry(str(path.relative_to(self._root)), int(path.stat().st_mtime))

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _pieces(self, key: str, size: int) -> Iterator[bytes]:
        with self.open(key) as blob:
            yield b""
            while piece := blob.read(size):
                yield piece


class DiskBlobWriter:
    """A blob on its way: a locked temporary file that a rename makes visible."""

    def __init__(self, target: Path, incoming: Path) -> None:
        self._target = target
        self._file, self._path = _locked_file(incoming)

    def write(self, data: bytes) -> None:
        """Append."""
        with needing_room():
            self._file.write(data)

    def commit(self) -> None:
        """Make the blob visible, whole and durable."""
        with needing_room():
            self._file.flush()
            os.fsync(self._file.fileno())
            _make_directory(self._target.parent)
            self._path.rename(self._target)
            _sync_directory(self._target.parent)
        self._file.close()

    def abort(self) -> None:
        """Forget it; harmless after commit."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            with suppress(OSError):  # a full disk, which is perhaps why this is called
                self._file.close()


def _locked_file(directory: Path) -> tuple[BinaryIO, Path]:
    """A new file that `clean` leaves alone for as long as it is open here."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=directory)
        file, path = os.fdopen(descriptor, "wb"), Path(name)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return file, path
        file.close()  # another process's `clean` came between the creation and the lock


def _remove_unless_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _make_directory(path: Path) -> None:
    """Durably, with its parents."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
