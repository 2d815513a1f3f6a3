"""The processes that grade: who of them lives, and what a worker asks of itself before it acts."""

from collections.abc import Collection
from typing import Protocol

from regrade.core.entities import Worker


class StoppedError(Exception):
    """The worker stops: what was about to begin is left to another one. Nothing of it has happened."""


class WorkerStore(Protocol):
    """Workers, by the database's clock: those of machines may differ."""

    def add(self, worker: Worker) -> None:
        """Register before any work is taken; whoever had this place of this server before has died."""
        ...

    def train(self, worker_id: str, mark: str) -> str | None:
        """The worker trains in the folder of this mark from now on, and None is the answer.

        Where an older worker trains in another folder it does not, and the answer is that one's host.
        """
        ...

    def somebody_trains(self) -> bool:
        """Whether any living worker trains."""
        ...

    def renew(self, worker_id: str) -> bool:
        """Say that the worker lives; False where it has ended, or was declared dead meanwhile."""
        ...

    def end(self, worker_id: str) -> None:
        """The worker ends as it should, and holds nothing any more."""
        ...

    def end_of_server(self, server: str) -> None:
        """A server starts: the workers that it started before are gone, through no fault of their work."""
        ...

    def silent(self, milliseconds: int) -> dict[str, int]:
        """Living workers that have said nothing for so long, or in the future, and when each last did."""
        ...

    def lose(self, worker_id: str, heartbeat_at: int) -> bool:
        """Declare dead who has said nothing since then; False where it has, or where another was faster."""
        ...

    def alive(self) -> Collection[str]:
        """Ids of all that have not ended."""
        ...

    def is_oldest(self, worker_id: str) -> bool:
        """Whether this one is the one of all living workers that does what only one should do."""
        ...

    def sweep(self, *, seconds: int) -> int:
        """Forget workers that ended before so many seconds; how many those were."""
        ...


class Pulse(Protocol):
    """Whether this worker may act: others go on with its work once its heartbeat has been silent for too long."""

    @property
    def fresh(self) -> bool:
        """Whether the heartbeat is recent enough to write results."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether no new work is to be begun."""
        ...

    async def hold(self) -> bool:
        """Wait until the heartbeat is fresh; whether there was anything to wait for."""
        ...
