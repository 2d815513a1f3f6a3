"""The grading processes of a server: started with it, started again when they die, gone when it is gone."""

import logging
import subprocess
import sys
import threading
import time

from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject

logger = logging.getLogger(__name__)

READY_LINE = b"ready\n"
_PAUSE_SECONDS = (0.1, 0.5, 2.0, 5.0, 10.0)
_HEALTHY_SECONDS = 30.0
_MARGIN_SECONDS = 2.0


class Supervisor:
    """Keeps `count` workers running.

    A worker reads its flags from its standard input and ends when that is closed: by the kernel when this process
    dies, however it dies. When told to stop, it has `grace` seconds for what is under way.
    """

    def __init__(self, server: str, count: int, flags: JsonObject, *, grace: float) -> None:
        """`server` tells the workers of this server from those of others, over all its starts."""
        self._server = server
        self._flags = flags
        self._grace = grace
        self._stop_at: float | None = None
        self._slots = [_Slot() for _ in range(count)]
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start all workers and return at once."""
        for number, slot in enumerate(self._slots):
            threading.Thread(target=self._keep, args=(number, slot), name=f"worker-{number}", daemon=True).start()

    def wait_until_ready(self, timeout: float) -> bool:
        """Whether every worker takes work, at the latest after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        return all(slot.ready.wait(max(0.0, deadline - time.monotonic())) for slot in self._slots)

    @property
    def living(self) -> int:
        """How many workers take work now."""
        return sum(slot.ready.is_set() for slot in self._slots)

    def tell_to_stop(self) -> None:
        """Tell all workers to end what is under way; returns at once."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._grace + _MARGIN_SECONDS
            self._stopping.set()
            for slot in self._slots:
                if slot.process is not None:
                    slot.tell_to_stop(slot.process)

    def stop(self) -> None:
        """End all workers. What they had not committed is taken up elsewhere, or at the next start."""
        self.tell_to_stop()
        for slot in self._slots:
            if slot.process is not None:
                try:
                    slot.process.wait(max(0.0, (self._stop_at or 0.0) - time.monotonic()))
                except subprocess.TimeoutExpired:
                    slot.process.kill()
                    slot.process.wait()

    def _keep(self, number: int, slot: "_Slot") -> None:
        """Run worker `number`, again after every death; the pause grows while deaths follow each other quickly."""
        deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            status = self._run(number, slot)
            if self._stopping.is_set():
                return
            deaths = 1 if time.monotonic() - started > _HEALTHY_SECONDS else deaths + 1
            pause = _PAUSE_SECONDS[min(deaths, len(_PAUSE_SECONDS)) - 1]
            logger.error("Worker %d ended with status %d; it is started again in %g s", number, status, pause)
            self._stopping.wait(pause)

    def _run(self, number: int, slot: "_Slot") -> int:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "regrade.supervised", self._server, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a Ctrl-C in the terminal is for us to answer
        )
        slot.process = process
        if self._stopping.is_set():
            slot.tell_to_stop(process)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("A worker was started without its pipes.")
        try:
            process.stdin.write(dumps(self._flags) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return process.wait()
        for line in process.stdout:
            if line == READY_LINE:
                slot.ready.set()
        slot.ready.clear()
        return process.wait()


class _Slot:
    """The place of one worker."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = threading.Event()

    def tell_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        """Let it end what is under way; one that has not begun has nothing to end."""
        if self.ready.is_set():
            process.terminate()
        else:
            process.kill()
