"""A dump on disk while one process writes it: nothing that was saved is lost, whenever that process dies.

`cursor.json` says how much of each data file counts. A page is appended as a gzip member of its own and flushed to
the disk, then the cursor is replaced; what lies beyond the cursor was never saved, and the next writer cuts it off.
"""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from typing import Self

from regrade.core.errors import ConfigurationError, StateError
from regrade.core.jsontext import dumps
from regrade.dump.layout import (
    CONTENTS,
    CURSOR,
    FORMAT,
    INCOMING,
    LOCK,
    MANIFEST,
    data_file,
    line_of,
    lines,
    read_cursor,
    read_manifest,
)
from regrade.dump.plan import DamagedDumpError, Plan
from regrade.dump.resources import Answer, MalformedAnswerError, Request
from regrade.types.json import JsonObject

_PARTIAL = ".partial"
_NAME_LENGTH = 250


class DumpWriter:
    """The one writer of a dump. What `append` was given is on disk when it returns."""

    def __init__(self, root: Path, origin: JsonObject, *, now: int) -> None:
        """Begin a dump in `root`, or go on with the one that lies there.

        `origin` is what a dump is of: going on with another one is refused. Raises ConfigurationError, StateError
        where another process writes, and DamagedDumpError.
        """
        self._root = root
        self._failed = False
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(root)
        try:
            if not (root / MANIFEST).exists():
                _begin(root, origin, now)
            self._manifest = read_manifest(root)
            _refuse_another(root, self._manifest["origin"], origin)
            self._lengths = read_cursor(root)
            self._cut_back()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def answers(self) -> Iterator[Answer]:
        """All that is saved, in an order that names a thing before what belongs to it."""
        return lines(self._root, self._lengths)

    def append(self, answer: Answer) -> None:
        """Save an answer. Once that has failed, nothing more can be saved before the dump is opened anew."""
        if self._failed:
            raise StateError(f"An earlier write to {self._root} failed, and nobody knows what it left there.")
        self._failed = True
        name = data_file(answer.request.resource)
        member = gzip.compress(line_of(answer), compresslevel=6, mtime=0)
        path = self._root / name
        new = not path.exists()
        with path.open("ab") as file:
            file.write(member)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_folder(self._root)
        self._lengths[name] = self._lengths.get(name, 0) + len(member)
        _replace(self._root / CURSOR, {"format": FORMAT, "lengths": self._lengths})
        self._failed = False

    async def receive(self, request: Request, pieces: AsyncIterable[bytes]) -> bytes:
        """Write a file's bytes under its id; answers the record of it, to be appended."""
        name = _content_name(request.path)
        incoming = self._root / INCOMING / name
        digest = hashlib.sha256()
        size = 0
        with incoming.open("wb") as file:
            async for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        incoming.replace(self._root / CONTENTS / name)
        _sync_folder(self._root / CONTENTS)
        return dumps({"file": f"{CONTENTS}/{name}", "bytes": size, "sha256": digest.hexdigest()})

    def report(self, plan: Plan, *, finished_at: int | None) -> None:
        """Write the manifest; `finished_at` is None while the walk goes on."""
        self._manifest |= {"finished_at": finished_at, "counts": counts_of(plan), "skipped": _skips_of(plan)}
        _replace(self._root / MANIFEST, self._manifest)

    def _cut_back(self) -> None:
        for path in sorted(self._root.glob("*.jsonl.gz")):
            length = self._lengths.get(path.name, 0)
            if path.stat().st_size > length:
                with path.open("r+b") as file:
                    file.truncate(length)
                    os.fsync(file.fileno())
        for name, length in self._lengths.items():
            path = self._root / name
            size = path.stat().st_size if path.exists() else 0
            if size < length:
                raise DamagedDumpError(
                    f"{path} has {size} bytes and {CURSOR} counts {length}: the dump is damaged, and no call can "
                    "go on with it. Keep it, and begin another in an empty folder."
                )
        shutil.rmtree(self._root / INCOMING, ignore_errors=True)
        for folder in (INCOMING, CONTENTS):
            (self._root / folder).mkdir(exist_ok=True)
        _sync_folder(self._root)


def counts_of(plan: Plan) -> JsonObject:
    """Found, saved and skipped of every resource, as a manifest has them."""
    return {
        resource: {"found": tally.found, "saved": tally.saved, "skipped": tally.skipped}
        for resource, tally in plan.tallies().items()
    }


def _skips_of(plan: Plan) -> list[JsonObject]:
    return [
        {"resource": s.request.resource, "path": s.request.path, "status": s.status, "reason": s.reason}
        for s in plan.skipped()
    ]


def _content_name(path: str) -> str:
    """The name that a file's bytes get: its escaped id, out of `/files/ID/content`."""
    name = path.split("/")[2]
    if len(name) > _NAME_LENGTH:
        raise MalformedAnswerError("the file's id is too long for a file's name")
    return name


def _begin(root: Path, origin: JsonObject, now: int) -> None:
    own = {LOCK, CURSOR, CURSOR + _PARTIAL, MANIFEST + _PARTIAL}
    if strangers := sorted(entry.name for entry in root.iterdir() if entry.name not in own):
        raise ConfigurationError(
            f"{root} holds other things ({', '.join(strangers[:3])}) and no dump; "
            "name a folder that is empty or new."
        )
    # The cursor first: a manifest without one would make all data look as if it was never saved.
    _replace(root / CURSOR, {"format": FORMAT, "lengths": {}})
    _replace(
        root / MANIFEST,
        {"format": FORMAT, "origin": origin, "started_at": now, "finished_at": None, "counts": {}, "skipped": []},
    )


def _refuse_another(root: Path, begun: JsonObject, origin: JsonObject) -> None:
    for key, value in origin.items():
        if begun.get(key) != value:
            raise ConfigurationError(
                f"The dump in {root} was begun with {key} = {json.dumps(begun.get(key))}, not {json.dumps(value)}. "
                "Give the same options again, or another folder."
            )


def _lock(root: Path) -> int:
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateError(f"Another process is writing to {root}; let it finish, or name another folder.") from error
    return descriptor


def _replace(path: Path, document: JsonObject) -> None:
    """Put a document in a file's place, at once and durably."""
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("wb") as file:
        file.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
