"""The engine's process seen from the server: started when somebody asks, started again when it dies, gone with us.

The listening socket is the host's. While there is no engine, the host watches it, and starts one when a connection
waits there; so nobody has to know whether the engine runs. No torch here.
"""

import fcntl
import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from regrade.core.endpoints import BUILT_IN, Endpoint
from regrade.core.jsontext import dumps
from regrade.logs import LogFormat

_log = logging.getLogger(__name__)

_NEEDED = ("torch", "transformers", "llguidance", "peft")
_LONGEST_PATH = 100
"""Of a UNIX socket; Linux allows 107 bytes, other systems less."""
BACKLOG = 4096
"""Requests that may wait while an engine starts: a UNIX socket refuses the next one."""
_LOOK_EVERY_S = 0.5
_PAUSES_S = (0.1, 0.5, 2.0, 5.0, 10.0)
_HEALTHY_S = 30.0
_END_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an engine is told when it starts."""

    memory: int
    """Bytes that models and the texts under way may take."""
    idle_s: float
    """Seconds after which what nobody uses goes."""
    threads: int
    """Threads that calculate; 0 leaves that to torch."""
    log_level: str
    log_format: LogFormat = "text"


def installed() -> bool:
    """Whether this machine can run models: the extra `local` is there."""
    return all(find_spec(name) is not None for name in _NEEDED)


def endpoint(data_dir: Path) -> Endpoint:
    """The engine of a data directory, as the registry knows it."""
    return Endpoint(
        name=BUILT_IN,
        base_url="http://built-in/v1",
        models=(),
        api=("chat",),
        structured_outputs=True,
        tools=True,
        seed=True,
        socket=str(_folder(data_dir) / "engine.sock"),
    )


def _folder(data_dir: Path) -> Path:
    """Where the socket is: in the data directory, or in a temporary folder where that path is too long."""
    inside = data_dir / "engine"
    if len(os.fsencode(inside / "engine.sock")) <= _LONGEST_PATH:
        return inside
    name = sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"regrade-{os.getuid()}-{name}"


class EngineHost:
    """Keeps an engine for this machine. Of several hosts on a data directory one acts, the others stand by."""

    def __init__(self, data_dir: Path, options: Options, environment: Mapping[str, str]) -> None:
        """`environment` is the engine's."""
        self._folder = _folder(data_dir)
        self._options = options
        self._environment = dict(environment)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="engine host", daemon=True)

    def start(self) -> None:
        """Stand ready and return at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the engine."""
        self._stopping.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        try:
            _make_private(self._folder)
            with (self._folder / "lock").open("w") as lock:
                while not self._stopping.is_set():
                    if _locked(lock.fileno()):
                        self._keep()
                        return
                    self._stopping.wait(_LOOK_EVERY_S)
        except OSError:
            _log.exception("Local models cannot be asked, for their engine has no place for its socket")

    def _keep(self) -> None:
        deaths = 0
        listener = self._listen()
        while not self._stopping.is_set():
            if not select.select([listener], [], [], _LOOK_EVERY_S)[0]:
                continue
            started = time.monotonic()
            status = self._live(listener)
            if status == 0 or self._stopping.is_set():
                deaths = 0
                continue
            deaths = 1 if time.monotonic() - started > _HEALTHY_S else deaths + 1
            pause = _PAUSES_S[min(deaths, len(_PAUSES_S)) - 1]
            _log.error("The engine of local models ended with status %d; it may start again in %g s", status, pause)
            if deaths > 1:
                # Who asks meanwhile is refused, and so knows that the engine is down.
                listener.close()
                self._stopping.wait(pause)
                listener = self._listen()
        listener.close()

    def _listen(self) -> socket.socket:
        path = self._folder / "engine.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(BACKLOG)
        return listener

    def _live(self, listener: socket.socket) -> int:
        """Run an engine to its end; its exit status."""
        descriptor = listener.fileno()
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "regrade.inference.local", str(descriptor)],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            env=self._environment,
            process_group=0,  # a Ctrl-C in the terminal is for the server to answer
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with process.stdin:
            try:
                process.stdin.write(dumps(asdict(self._options)) + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                return process.wait()
            while process.poll() is None and not self._stopping.is_set():
                try:
                    process.wait(_LOOK_EVERY_S)
                except subprocess.TimeoutExpired:
                    continue
        try:
            return process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _make_private(folder: Path) -> None:
    """Raises OSError where the folder is somebody else's, as one in a temporary folder could be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else.")
    folder.chmod(0o700)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
