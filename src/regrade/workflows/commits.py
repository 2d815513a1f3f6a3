"""Committing what a chunk has graded, while nobody else can have gone on with it, and as long as a try may help."""

from collections.abc import Callable

from regrade.core.entities import ChunkClaim, FinishedItem
from regrade.core.errors import UnavailableError
from regrade.core.metrics import ITEMS, Metrics
from regrade.ports.models import ModelPort
from regrade.ports.store import ChunkStore
from regrade.ports.workers import Pulse
from regrade.workflows.chunk import Outcome
from regrade.workflows.grading import RowGrading
from regrade.workflows.persistence import while_away


class Commits:
    """Writes the items of one claim, with the aggregates that they were added up in."""

    def __init__(
        self,
        claim: ChunkClaim,
        grading: RowGrading,
        chunks: ChunkStore,
        models: ModelPort,
        pulse: Pulse,
        metrics: Metrics,
    ) -> None:
        self._claim = claim
        self._grading = grading
        self._chunks = chunks
        self._models = models
        self._pulse = pulse
        self._waiting: dict[str, int] = {}
        self._items = [metrics.of(ITEMS, status) for status in ("pass", "fail", "error")]
        self._counted = self._counts()

    async def commit(self, finished: list[FinishedItem]) -> bool:
        """Write what is finished and empty the list; without any, look whether the chunk is still ours.

        False where it is not. The aggregates count every row that is finished at the moment of writing, and so does
        the list: rows may end while a try waits for the database.
        """
        waiting = self._models.waiting() if self._grading.asks_models else {}
        if not finished and waiting == self._waiting:
            return await self._persist(lambda: self._chunks.holds(self._claim))

        def write() -> bool:
            if not self._chunks.flush(self._claim, finished, self._grading.tally, done=False, waiting=waiting):
                return False
            finished.clear()
            self._count()
            return True

        self._waiting = waiting
        return await self._persist(write)

    async def end(self, outcome: Outcome) -> Outcome:
        """Mark the chunk as done if it is; what became of it."""
        if outcome == "done" and not await self._persist(
            lambda: self._chunks.flush(self._claim, [], self._grading.tally, done=True)
        ):
            return "lost"
        return outcome

    def _counts(self) -> tuple[int, int, int]:
        tally = self._grading.tally
        return tally.passed, tally.failed, tally.errored

    def _count(self) -> None:
        """Tell the metrics what was committed."""
        now = self._counts()
        for series, before, after in zip(self._items, self._counted, now, strict=True):
            series.add(after - before)
        self._counted = now

    async def _persist(self, write: Callable[[], bool]) -> bool:
        """Write while the heartbeat is fresh, again where the database or its disk was away.

        What was written without our knowing is refused the second time, as another error; then the claim is taken
        anew.
        """
        while True:
            await self._pulse.hold()
            try:
                # On the loop: a thread would only wait for the same interpreter lock.
                return write()
            except UnavailableError as error:
                await while_away(
                    f"Chunk {self._claim.chunk.k} of run number {self._claim.chunk.run_number}", error, self._pulse
                )
