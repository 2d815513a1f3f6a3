"""The heartbeat of a worker: it keeps this one alive, tells it when to hold still, and notices who is dead."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from regrade.core.errors import UnavailableError
from regrade.ports.workers import StoppedError, WorkerStore

logger = logging.getLogger(__name__)

_BEATS = 4
"""Heartbeats in the time after which silence means death."""
_LOOK_SECONDS = 0.05
_STUCK_SECONDS = 60.0


@dataclass(slots=True)
class RowProgress:
    """What has become of a row so far."""

    asked: bool = False
    """Whether a model has been asked for it."""


ROW: ContextVar[RowProgress | None] = ContextVar("row", default=None)
"""The row that the current task works on."""


class Watch:
    """Who has been silent for how long, by a clock that only this process has.

    The database's clock says whom to suspect. It may jump, and after an outage it suspects everybody; so a suspect
    is dead only once it has been seen with the same heartbeat for half of the time, too.
    """

    def __init__(self, takeover_s: float) -> None:
        self._seconds = takeover_s / 2
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked_at = 0.0

    def dead(self, suspects: dict[str, int], now: float) -> list[str]:
        """Which of the suspects (and their heartbeats) are dead; to be asked at every heartbeat."""
        if now - self._looked_at > self._seconds:  # nothing was seen meanwhile: all begins anew
            self._seen = {}
        self._looked_at = now
        before, self._seen = self._seen, {}
        for worker, heartbeat in suspects.items():
            known = before.get(worker)
            self._seen[worker] = known if known is not None and known[0] == heartbeat else (heartbeat, now)
        return [worker for worker, (_, since) in self._seen.items() if now - since >= self._seconds]


class Heart:
    """ports.Pulse, kept by a thread of its own: neither long computations nor slow commits stop it."""

    def __init__(
        self,
        worker: str,
        workers: WorkerStore,
        *,
        takeover_s: float,
        on_lost: Callable[[str], None],
        on_death: Callable[[], None],
    ) -> None:
        """`on_lost` gets the reason why this process must end; `on_death` is told when another worker is dead."""
        self._worker = worker
        self._workers = workers
        self._takeover_s = takeover_s
        self._on_lost = on_lost
        self._on_death = on_death
        self._watch = Watch(takeover_s)
        self._renewed_at = self._ticked_at = time.monotonic()
        self._troubled = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)
        self.stopping = False
        """Set by whoever ends this process: no new work is begun."""

    @property
    def fresh(self) -> bool:
        """Whether the last heartbeat is so recent that nobody can have gone on with our work."""
        return time.monotonic() - self._renewed_at < self._takeover_s / 2

    async def hold(self) -> bool:
        """Wait until the heartbeat is fresh."""
        waited = False
        while not self.fresh:
            waited = True
            await asyncio.sleep(_LOOK_SECONDS)
        return waited

    async def enter(self) -> None:
        """Before each request to a model: wait while others may go on with our work; StoppedError where we stop."""
        row = ROW.get()
        if self.stopping and row is not None and not row.asked:
            raise StoppedError
        if not self.fresh:
            await self.hold()
        if row is not None:
            row.asked = True

    def start(self) -> None:
        """Begin, in a running event loop, after the worker was registered."""
        self._tick(asyncio.get_running_loop())
        self._thread.start()

    def end(self) -> None:
        """Stop beating and say that the worker has ended. From here on its work is anybody's."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(self._takeover_s / _BEATS)
        self._workers.end(self._worker)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticked_at = time.monotonic()
        loop.call_later(self._takeover_s / _BEATS, self._tick, loop)

    def _live(self) -> None:
        while not self._over.wait(self._takeover_s / _BEATS):
            try:
                self._beat()
                self._troubled = False
            except Exception as error:  # whatever the database has: as long as it lasts, the worker holds still
                if not self._troubled:
                    trace = None if isinstance(error, UnavailableError) else error
                    logger.log(
                        logging.ERROR,
                        "The heartbeat does not reach the database; the worker waits until it does. %s",
                        error,
                        exc_info=trace,
                    )
                self._troubled = True

    def _beat(self) -> None:
        asked_at = time.monotonic()
        if not self._workers.renew(self._worker):
            if not self._over.is_set():
                self._on_lost("it was silent for so long that others have gone on with its work")
            return
        if asked_at - self._ticked_at > max(_STUCK_SECONDS, self._takeover_s):
            self._on_lost(f"it has stood still for {asked_at - self._ticked_at:.0f} seconds")
        self._renewed_at = asked_at
        suspects = self._workers.silent(int(self._takeover_s / 2 * 1000))
        suspects.pop(self._worker, None)
        dead = [each for each in self._watch.dead(suspects, asked_at) if self._workers.lose(each, suspects[each])]
        if dead:
            logger.warning("Silent for %g seconds, taken for dead: %s", self._takeover_s, ", ".join(dead))
            self._on_death()
