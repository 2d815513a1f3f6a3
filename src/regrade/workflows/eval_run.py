"""An eval run: planned once, cut into chunks, each chunk graded by one worker at a time.

Everything here may be killed at any point and be run again: it asks the store what is done, and does the rest.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from regrade.core.entities import Chunk, ChunkClaim, FinishedItem, Run
from regrade.core.errors import NotFoundError, RegradeError
from regrade.core.results import Tally
from regrade.ports import Blobs, ChunkStore, Clock, Engine, EvalStore, RunStore
from regrade.sources import jsonl
from regrade.workflows.chunk import one_by_one
from regrade.workflows.grading import CompiledEval, RowGrading
from regrade.workflows.turns import Turns

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.5
_COMPILED_EVALS = 32


class EvalRuns:
    """The workflows of eval runs, over the ports that they need."""

    def __init__(
        self,
        *,
        evals: EvalStore,
        runs: RunStore,
        chunks: ChunkStore,
        blobs: Blobs,
        engine: Engine,
        clock: Clock,
        max_row_bytes: int,
    ) -> None:
        self._evals = evals
        self._runs = runs
        self._chunks = chunks
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._max_row_bytes = max_row_bytes
        self._compiled: dict[str, CompiledEval] = {}
        self._turns = Turns()

    async def run(self, run_id: str) -> None:
        """Plan a queued run and ask for its chunks."""
        await self._persistently(run_id, self._run)

    async def chunk(self, run_id: str, k: int) -> None:
        """Grade what is left of a chunk; whoever does the last one ends the run."""
        await self._persistently(run_id, lambda run: self._chunk(run, k))

    async def _run(self, run: Run) -> None:
        if run.status == "queued":
            compiled = self._compile(run)
            planned = await asyncio.to_thread(self._cut, run)
            if planned is None:
                return
            if not planned:
                raise _RunError("empty_data_source", "The run's data source has no rows.")
            empty = Tally.empty(compiled.criteria).as_json()
            await asyncio.to_thread(self._chunks.plan, run, planned, tally=empty, now=self._clock.now())
        undone = await asyncio.to_thread(self._chunks.undone, run)
        await asyncio.to_thread(self._engine.start_chunks, run.id, undone)
        await asyncio.to_thread(self._chunks.finish, run, now=self._clock.now())

    async def _chunk(self, run: Run, k: int) -> None:
        claim = self._chunks.claim(run, k)
        if claim is None or await self._grade(run, claim):
            self._chunks.finish(run, now=self._clock.now())

    async def _grade(self, run: Run, claim: ChunkClaim) -> bool:
        """Grade the chunk's rows that are not done; False where somebody else has taken it, or the run ended."""
        compiled = self._compile(run)
        grading = RowGrading(compiled, run, Tally.from_json(claim.tally), self._clock, self._max_row_bytes)

        def commit(batch: Sequence[FinishedItem]) -> bool:
            return self._chunks.flush(claim, batch, grading.tally, done=False)

        with self._blobs.open(_source(run)) as source:
            lines = _left(jsonl.read(source, claim.chunk, max_row_bytes=self._max_row_bytes), claim)
            held = await one_by_one(lines, grading.finish, commit, self._turns)
        return held and self._chunks.flush(claim, [], grading.tally, done=True)

    def _cut(self, run: Run) -> list[Chunk] | None:
        """The run's chunks; None where it was ended while its source, which may be large, was read."""
        looked = time.perf_counter()

        def wanted() -> bool:
            nonlocal looked
            if time.perf_counter() - looked < _LOOK_SECONDS:
                return True
            looked = time.perf_counter()
            now = self._runs.find(run.id)
            return now is not None and now.status == "queued"

        with self._blobs.open(_source(run)) as source:
            return jsonl.cut(source, run_number=run.number, max_row_bytes=self._max_row_bytes, wanted=wanted)

    def _compile(self, run: Run) -> CompiledEval:
        """The run's eval, compiled; kept for the next chunks."""
        compiled = self._compiled.get(run.eval_id)
        if compiled is None:
            eval_ = self._evals.get(run.project, run.eval_id)
            if eval_ is None:
                raise NotFoundError(f"No eval found with id '{run.eval_id}'.")
            while len(self._compiled) >= _COMPILED_EVALS:
                self._compiled.pop(next(iter(self._compiled)))
            compiled = self._compiled[run.eval_id] = CompiledEval(eval_)
        return compiled

    async def _persistently(self, run_id: str, work: Callable[[Run], Awaitable[None]]) -> None:
        """Do `work`, again after a pause where the machine got in the way; end the run as failed at last.

        A run never sits in between: it goes on, or it says why it does not.
        """
        for attempt in range(_ATTEMPTS):
            try:
                run = self._runs.find(run_id)
                if run is not None and run.status in ("queued", "in_progress"):
                    await work(run)
                return
            except RegradeError as error:
                logger.warning("Run %s failed: %s", run_id, error.message)
                await self._fail(run_id, error.code or "invalid_run", error.message)
                return
            except Exception:  # a disk or database that fails for a while; the traceback is logged
                logger.exception("Run %s met an error, attempt %d of %d", run_id, attempt + 1, _ATTEMPTS)
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        await self._fail(run_id, "server_error", "The server could not go on with this run; its log says why.")

    async def _fail(self, run_id: str, code: str, message: str) -> None:
        run = self._runs.find(run_id)
        if run is not None:
            self._runs.fail(run, {"code": code, "message": message}, now=self._clock.now())


class _RunError(RegradeError):
    """The run as a whole cannot be done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


def _source(run: Run) -> str:
    """The blob of the run's rows."""
    if run.source_blob is None:
        raise _RunError("missing_data_source", "The run has no file to read its rows from.")
    return run.source_blob


def _left(lines: Iterator[jsonl.Line], claim: ChunkClaim) -> Iterator[jsonl.Line]:
    """The lines whose results are not committed yet."""
    if not claim.done_rows:
        return lines
    return (line for line in lines if line.row not in claim.done_rows)
