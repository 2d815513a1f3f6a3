"""The server's half of a zygote: started, asked for workers, gone when its socket closes."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrade.core.errors import UnavailableError
from regrade.sandbox.environment import Environment
from regrade.sandbox.options import Level

_HERE = Path(__file__).parent
_START = "import sys; sys.path.insert(0, sys.argv[2]); from jail.zygote import main; main()"
_ENVIRONMENT = {
    # All that graders find in os.environ, and on the stack that they start with.
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_START_SECONDS = 60.0
_ANSWER_SECONDS = 30.0


class ZygoteError(UnavailableError):
    """The zygote could not start, or did not do what it was asked."""


@dataclass(slots=True)
class Process:
    """A worker process, confined from its first line on."""

    zygote: "Zygote"
    pid: int
    handle: int | None
    """A pidfd, where the system has them: it names this process for ever."""
    requests: int
    """Write frames here."""
    answers: int
    """Read records here; the end of the file is the end of the process."""

    def end(self) -> int | None:
        """Kill it, and take its exit status: negative is the signal that ended it, None that its zygote is gone."""
        os.close(self.requests)
        os.close(self.answers)
        return self.zygote.end(self.pid, self.handle)


class Zygote:
    """A process that workers are forked from, with `preload` imported. Usable from any thread."""

    def __init__(self, environment: Environment, level: Level, base: Path, preload: Sequence[str]) -> None:
        """Start it. Raises ZygoteError, which says which step the kernel refused."""
        ours, theirs = socket.socketpair()
        config = {
            "control": theirs.fileno(),
            "level": level,
            "path": environment.path,
            "readable": environment.readable,
            "base": str(base),
            "preload": preload,
        }
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by the graders' interpreter
                [environment.python, "-I", "-S", "-B", "-c", _START, json.dumps(config), str(_HERE)],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.workers = 0
        """Those that were spawned and have not been ended."""
        self._socket = ours
        self._lock = threading.Lock()
        ours.settimeout(_START_SECONDS)
        try:
            self._receive()
        except ZygoteError:
            self.close()
            raise
        ours.settimeout(_ANSWER_SECONDS)

    def spawn(self, *, memory: int, scratch_bytes: int, scratch: Path | None, threads: int) -> Process:
        """A new worker that waits for its source. Raises ZygoteError."""
        their_requests, requests = os.pipe()
        answers, their_answers = os.pipe()
        spawn = {
            "memory": memory,
            "scratch_bytes": scratch_bytes,
            "scratch": None if scratch is None else str(scratch),
            "threads": threads,
        }
        try:
            answer, handle = self._ask({"spawn": spawn}, [their_requests, their_answers])
        except ZygoteError:
            os.close(requests)
            os.close(answers)
            raise
        finally:
            os.close(their_requests)
            os.close(their_answers)
        os.set_blocking(requests, False)
        os.set_blocking(answers, False)
        self.workers += 1
        return Process(self, answer["pid"], handle, requests, answers)

    def end(self, pid: int, handle: int | None) -> int | None:
        """See Process.end."""
        try:
            if handle is None:
                answer, _ = self._ask({"kill": pid})
            else:
                _kill(handle)
                answer, _ = self._ask({"reap": pid})
        except ZygoteError:
            return None  # it died, and its workers with it
        finally:
            self.workers -= 1
            if handle is not None:
                os.close(handle)
        status: int = answer["status"]
        return status

    def close(self) -> None:
        """End it and all its workers."""
        self._socket.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether it can be asked for workers."""
        return self._socket.fileno() >= 0 and self._process.poll() is None

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> tuple[dict[str, Any], int | None]:
        message = json.dumps(request).encode()
        with self._lock:
            try:
                if descriptors:
                    socket.send_fds(self._socket, [message], list(descriptors))
                else:
                    self._socket.sendall(message)
            except OSError as error:
                raise ZygoteError(f"The python graders' parent process is gone ({error}).") from error
            return self._receive()

    def _receive(self) -> tuple[dict[str, Any], int | None]:
        """One line of JSON, and the descriptor that came with it. Raises ZygoteError where it tells of an error."""
        text, handle = b"", None
        while not text.endswith(b"\n"):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 1)
            except OSError as error:
                self._socket.close()  # an answer that came later would be taken for the next one's
                raise ZygoteError(f"The python graders' parent process does not answer ({error}).") from error
            if not data:
                raise ZygoteError("The python graders' parent process ended.")
            text += data
            handle = descriptors[0] if descriptors else handle
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise ZygoteError(f"A process for python graders could not be made ({answer['error']}).")
        return answer, handle


def _kill(handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself, and waits to be reaped
        return
