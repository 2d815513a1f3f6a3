"""One server a data directory: the lock that it holds, and the file that tells commands where it answers."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from regrade import __version__
from regrade.core import jsontext
from regrade.core.errors import ConfigurationError, InvalidError

_LOCK = "server.lock"
_RECORD = "server.json"
_IDENTITY = "server.id"
# `find` holds the lock for an instant when it looks; a server that starts in that instant tries again.
_ATTEMPTS = 20
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers, as it recorded itself."""

    url: str
    pid: int
    version: str


def open_data_dir(data_dir: Path) -> Path:
    """Make the data directory where it is missing, readable by its owner alone.

    Raises ConfigurationError where that is not possible.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data directory {data_dir} cannot be made ({error.strerror}). Name another with --data-dir.",
            param="data_dir",
        ) from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The data directory {data_dir} is not writable. Name another with --data-dir.", param="data_dir"
        )
    return data_dir


@contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Be the only server of the data directory; the system lets go when the process ends, however it ends.

    Raises ConfigurationError that names the server which holds it already. Processes forked while it is held
    hold it too; processes that are started with exec do not.
    """
    lock = os.open(open_data_dir(data_dir) / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for attempt in range(_ATTEMPTS):
            if _acquire(lock, fcntl.LOCK_EX):
                break
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_S)
        else:
            raise ConfigurationError(_refusal(data_dir), param="data_dir")
        _forget(data_dir)  # what a server that was killed left behind
        try:
            yield
        finally:
            _forget(data_dir)
    finally:
        os.close(lock)


def identity(data_dir: Path, *, new: str) -> str:
    """What tells the server of this data directory from all others, over all its starts; `new` if it has none yet.

    To be called while holding the lock.
    """
    path = data_dir / _IDENTITY
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.write_text(new, encoding="ascii")
        draft.replace(path)
    return path.read_text(encoding="ascii").strip()


def announce(data_dir: Path, url: str) -> None:
    """Tell commands on this machine that this process answers at `url`; to be called while holding the lock."""
    record = {"url": url, "pid": os.getpid(), "version": __version__}
    path = data_dir / _RECORD
    draft = path.with_suffix(".new")
    draft.write_bytes(jsontext.dumps(record))
    draft.replace(path)


def find(data_dir: Path) -> RunningServer | None:
    """The server that runs on this data directory and has announced itself."""
    return _read(data_dir) if _held(data_dir) else None


def _held(data_dir: Path) -> bool:
    try:
        lock = os.open(data_dir / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _acquire(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _acquire(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(data_dir: Path) -> RunningServer | None:
    with suppress(OSError, InvalidError, ValueError, KeyError, TypeError):
        record = jsontext.loads((data_dir / _RECORD).read_bytes())
        return RunningServer(url=str(record["url"]), pid=int(record["pid"]), version=str(record["version"]))
    return None


def _forget(data_dir: Path) -> None:
    (data_dir / _RECORD).unlink(missing_ok=True)


def _refusal(data_dir: Path) -> str:
    server = _read(data_dir)
    if server is None:
        return f"Another server is starting or stopping on the data directory {data_dir}. Try again in a moment."
    return (
        f"A server already runs on the data directory {data_dir}: process {server.pid}, {server.url}. "
        "Use that one, stop it, or name another directory with --data-dir."
    )
