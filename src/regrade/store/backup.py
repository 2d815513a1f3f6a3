"""Backups of the embedded store, taken while a server writes to it, and their way back.

A backup is a folder, or that folder in a tar file: copies of both databases, `blobs/`, and `backup.jsonl`, which
lists every file with its length and SHA-256. Where it lies under its name, it is whole.
"""

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from regrade.core.errors import InvalidError, NoRoomError, NotFoundError, StateError, StorageError
from regrade.core.jsontext import dumps, loads
from regrade.ports.blobs import Blobs
from regrade.ports.system import Clock
from regrade.store import marker
from regrade.store.blob_owners import needed
from regrade.store.room import needing_room
from regrade.store.schema import VERSIONS
from regrade.types.json import JsonObject

REGRADE, ENGINE = "regrade.sqlite3", "engine.sqlite3"
_LIST = "backup.jsonl"
_BLOBS = "blobs"
_FORM = 1
_TAR = ".tar"
_PIECE = 1 << 20
_SNAPSHOTS = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds."""

    blobs: int
    bytes: int
    """Of everything."""
    created_at: int


class EmbeddedStore:
    """The databases in one data directory, and the blobs that belong to them."""

    def __init__(self, data_dir: Path, blobs: Blobs, clock: Clock) -> None:
        self._data_dir = data_dir
        self._blobs = blobs
        self._clock = clock

    def back_up(self, target: Path) -> Summary:
        """Write a backup of this moment; a running server is not held up.

        Raises StateError where the store is not there or the target is, StorageError where a blob is missing.
        """
        if not (self._data_dir / REGRADE).exists():
            raise StateError(f"There is no store in {self._data_dir} to back up.")
        if target.exists():
            raise StateError(f"{target} exists already. Name a new folder or file: a backup replaces none.")
        # The name appears when all is there and safe on the disk; what an interrupted backup leaves has another.
        with _room_for(target), _draft_beside(target) as draft:
            whole = draft / "whole"
            whole.mkdir()
            summary = self._fill(whole)
            if target.suffix == _TAR:
                whole = _packed(whole)
            whole.rename(target)
            _sync(target.parent)
        return summary

    def restore(self, source: Path) -> Summary:
        """Fill this empty store from a backup. The caller holds the data directory, so that no server runs on it.

        One that was interrupted can be repeated. Raises StateError where there is a store, or no whole backup.
        """
        if any(self._data_dir.glob(f"{REGRADE}*")):
            raise StateError(
                f"{self._data_dir} has a store already, and a restore replaces none. Name another directory with"
                " --data-dir, or move this one away."
            )
        with _room_for(self._data_dir), _unpacked(source, self._data_dir) as folder:
            summary = _checked(folder, source)
            self._require_own_place(folder)
            for name in sorted(_names_below(folder)):
                if name.startswith(f"{_BLOBS}/"):
                    self._put(name.removeprefix(f"{_BLOBS}/"), folder / name)
            # The database comes last: before it is there, this is no store.
            for name in _databases(folder):
                draft = self._data_dir / f"restoring.{name}"
                _write(draft, _pieces(folder / name))
                if name == REGRADE:
                    _end_workers(draft)
                draft.rename(self._data_dir / name)
            _sync(self._data_dir)
        return summary

    def _fill(self, draft: Path) -> Summary:
        # The engine's first: what the store has done since, the engine only asks for once more.
        for name in _databases(self._data_dir)[:-1]:
            _copy_database(self._data_dir / name, draft / name)
        for _ in range(_SNAPSHOTS):
            (draft / REGRADE).unlink(missing_ok=True)
            _copy_database(self._data_dir / REGRADE, draft / REGRADE)
            if not _is_current(draft / REGRADE):
                raise StateError(
                    f"Another version of Regrade has made the store in {self._data_dir}. Back it up with that one,"
                    " or start this one's server first."
                )
            missing = [
                key
                for key in _needed(draft / REGRADE, now=self._clock.now())
                if not self._fetch(key, draft / _BLOBS)
            ]
            if not missing:
                return _write_list(draft, self._clock.now())
            # They were deleted after this snapshot, with what they belong to: the next one does not need them.
        raise StorageError(
            f"{len(missing)} blobs that the database needs are not there, for example {missing[0]}: the store is"
            " damaged. There is no backup of it that is whole."
        )

    def _fetch(self, key: str, blobs: Path) -> bool:
        """Copy a blob, unless that is done; False where it is not there."""
        target = blobs / key
        if target.exists():
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            pieces = self._blobs.pieces(key)
        except NotFoundError:
            return False
        _write(target, pieces)
        return True

    def _put(self, key: str, path: Path) -> None:
        writer = self._blobs.writer(key)
        try:
            for piece in _pieces(path):
                writer.write(piece)
            writer.commit()
        finally:
            writer.abort()

    def _require_own_place(self, folder: Path) -> None:
        try:
            found = b"".join(self._blobs.pieces(marker.KEY))
        except NotFoundError:
            return
        own = folder / _BLOBS / marker.KEY
        if not own.exists() or own.read_bytes() != found:
            raise StateError("The place of --blobs holds the files of another store. Name an empty one.")


def check(source: Path) -> Summary:
    """Read a whole backup. Raises StateError where anything in it is not as it was written."""
    with _unpacked(source, source.absolute().parent) as folder:
        return _checked(folder, source)


def _checked(folder: Path, source: Path) -> Summary:
    """As `check`, of an unpacked one."""
    listed = _read_list(folder, source)
    size = blobs = 0
    if {entry["path"] for entry in listed[1:-1]} != _names_below(folder):
        raise StateError(f"The backup {source} is damaged: it does not hold the files that its list names.")
    for entry in listed[1:-1]:
        path = folder / entry["path"]
        if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
            raise StateError(f"The backup {source} is damaged: {entry['path']} is not as it was written.")
        size += entry["bytes"]
        blobs += entry["path"].startswith(f"{_BLOBS}/")
    for name in _databases(folder):
        with closing(_connect(folder / name)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise StateError(f"The backup {source} is damaged: {name} says {answer}.")
    created_at = listed[0]["created_at"]
    # An older version's records are not read here; its list has told what there is.
    for key in _needed(folder / REGRADE, now=created_at) if _is_current(folder / REGRADE) else ():
        if not (folder / _BLOBS / key).exists():
            raise StateError(f"The backup {source} is damaged: it lacks the blob {key}.")
    return Summary(blobs=blobs, bytes=size, created_at=created_at)


def _needed(database: Path, *, now: int) -> Iterator[str]:
    """The blobs that go with a copy of the database."""
    engine = sa.create_engine(f"sqlite:///{database}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield from needed(connection, now=now)
        yield from connection.execute(sa.text(f"SELECT '{marker.KEY}' FROM blob_marker WHERE written")).scalars()  # noqa: S608


def _is_current(database: Path) -> bool:
    with closing(_connect(database)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return bool(version == VERSIONS[-1])


def _databases(folder: Path) -> list[str]:
    """Those that are there, ours last; a store that no server has run on has no engine's yet."""
    return [ENGINE, REGRADE] if (folder / ENGINE).exists() else [REGRADE]


@contextmanager
def _room_for(place: Path) -> Iterator[None]:
    try:
        with needing_room():
            yield
    except NoRoomError as error:
        raise NoRoomError(
            f"The disk of {place} is full: nothing is there under this name. Make room, and try again."
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _copy_database(source: Path, target: Path) -> None:
    # In one step: page by page, every commit of the server would make it begin again.
    with closing(_connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file; the server sets it to WAL again
    _sync(target)


def _end_workers(database: Path) -> None:
    """Whoever worked on the store when it was copied does not work on the copy, so nobody is to wait for them."""
    if _is_current(database):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("UPDATE workers SET ended_at = heartbeat_at WHERE ended_at IS NULL")
            connection.commit()


def _write_list(draft: Path, now: int) -> Summary:
    size = blobs = 0
    with (draft / _LIST).open("wb") as file:
        file.write(dumps({"regrade_backup": _FORM, "created_at": now}) + b"\n")
        for name in sorted(_names_below(draft)):
            length = (draft / name).stat().st_size
            file.write(dumps({"path": name, "bytes": length, "sha256": _sha256(draft / name)}) + b"\n")
            size += length
            blobs += name.startswith(f"{_BLOBS}/")
        file.write(dumps({"end": True}) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return Summary(blobs=blobs, bytes=size, created_at=now)


def _read_list(folder: Path, source: Path) -> list[JsonObject]:
    try:
        listed = [loads(line) for line in (folder / _LIST).read_bytes().splitlines()]
        whole = listed[0]["regrade_backup"] == _FORM and listed[-1] == {"end": True}
    except (OSError, InvalidError, LookupError, TypeError) as error:
        raise StateError(f"{source} is no backup of Regrade: it has no list of what it holds.") from error
    if not whole:
        raise StateError(f"{source} is no backup that this version of Regrade can read.")
    return listed


@contextmanager
def _draft_beside(target: Path) -> Iterator[Path]:
    """A folder on the target's disk that is gone in the end, unless it was renamed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".unfinished", dir=target.parent))
    except OSError as error:
        raise StateError(f"{target.parent} cannot be written ({error.strerror}).") from error
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _unpacked(source: Path, near: Path) -> Iterator[Path]:
    """The folder of a backup; a tar file's is there for as long as it is needed."""
    if source.is_dir():
        yield source
        return
    with _draft_beside(near / "restore") as folder:
        try:
            with source.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as packed:
                packed.extractall(folder, filter="data")
        except (FileNotFoundError, PermissionError) as error:
            raise StateError(f"There is no backup {source} that can be read ({error.strerror}).") from error
        except tarfile.TarError as error:
            raise StateError(f"{source} is no whole backup of Regrade: {error}.") from error
        yield folder


def _packed(folder: Path) -> Path:
    """The folder as a tar file beside it."""
    target = folder.with_suffix(_TAR)
    with tarfile.open(target, "w:") as packed:
        packed.add(folder, arcname=".")
    _sync(target)
    return target


def _names_below(folder: Path) -> set[str]:
    """Everything that a backup holds but its list."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {_LIST}


def _write(target: Path, pieces: Iterator[bytes]) -> None:
    with target.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
