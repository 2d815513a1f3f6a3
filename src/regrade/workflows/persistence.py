"""Work on a run, done again after what the machine puts in its way: it goes on, or the run says why not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from regrade.core.entities import Run
from regrade.core.errors import NoRoomError, RegradeError, UnavailableError
from regrade.ports.store import RunStore
from regrade.ports.system import Clock
from regrade.ports.workers import Pulse

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.5
_AWAY_PAUSE_SECONDS = 1.0
_FULL_PAUSE_SECONDS = 5.0
"""Between looks at a disk that is full."""


async def while_away(what: str, error: UnavailableError, pulse: Pulse) -> None:
    """Pause before the next try of what only has to wait: for room, or for a database; as long as it takes."""
    logger.error("%s waits: %s", what, error.message)
    await asyncio.sleep(_FULL_PAUSE_SECONDS if isinstance(error, NoRoomError) else _AWAY_PAUSE_SECONDS)
    await pulse.hold()


class Persistence:
    """Does work on runs."""

    def __init__(self, runs: RunStore, clock: Clock, pulse: Pulse) -> None:
        self._runs = runs
        self._clock = clock
        self._pulse = pulse

    async def do(self, run_id: str, work: Callable[[Run], Awaitable[None]]) -> None:
        """Do `work` on a run that goes on, again after a pause where the machine got in the way.

        The run ends as failed at last, and at once where the error is its own.
        """
        attempt = 0
        while attempt < _ATTEMPTS:
            try:
                run = self._runs.find(run_id)
                if run is not None and run.status in ("queued", "in_progress"):
                    await work(run)
                return
            except UnavailableError as error:
                await while_away(f"Run {run_id}", error, self._pulse)
            except RegradeError as error:
                logger.warning("Run %s failed: %s", run_id, error.message)
                await self._fail(run_id, error.code or "invalid_run", error.message)
                return
            except Exception:  # a disk or database that fails for a while; the traceback is logged
                attempt += 1
                logger.exception("Run %s met an error, attempt %d of %d", run_id, attempt, _ATTEMPTS)
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                if await self._pulse.hold():
                    attempt = 0  # it was the database
        await self._fail(run_id, "server_error", "The server could not go on with this run; its log says why.")

    async def _fail(self, run_id: str, code: str, message: str) -> None:
        while True:
            try:
                run = self._runs.find(run_id)
                if run is not None:
                    self._runs.fail(run, {"code": code, "message": message}, now=self._clock.now())
                return
            except UnavailableError as error:
                await while_away(f"Run {run_id}", error, self._pulse)
