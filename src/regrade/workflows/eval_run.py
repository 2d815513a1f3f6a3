"""An eval run: planned once, cut into chunks, each chunk graded by one worker at a time.

Everything here may be killed at any point and be run again: it asks the store what is done, and does the rest.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from regrade.core.entities import Chunk, ChunkClaim, Eval, FinishedItem, Run
from regrade.core.errors import NoRoomError, NotFoundError, RegradeError, UnavailableError
from regrade.core.ids import own_blob, secrets_blob
from regrade.core.jsontext import loads
from regrade.core.results import Tally
from regrade.core.sampling import compile_plan
from regrade.core.tool_secrets import with_secrets
from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import Sandbox
from regrade.ports.store import ChunkStore, EvalStore, FileStore, RunStore, StoredObjectStore
from regrade.ports.system import Clock
from regrade.sources import jsonl, stored
from regrade.workflows.chunk import in_turns, many_at_once, one_by_one
from regrade.workflows.feed import LineFeed
from regrade.workflows.grading import CompiledEval, RowGrading
from regrade.workflows.sampling import MessageFiles, Sampler
from regrade.workflows.turns import Turns
from regrade.workflows.upkeep import drop_secrets

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.5
_FULL_PAUSE_SECONDS = 10.0
"""Between looks at a disk that is full; a run waits for room as long as it takes."""
_OUTAGE_PAUSE_SECONDS = 1.0
"""Between looks at a database, or a bucket, that does not answer; a run waits for it as long as it takes."""
_COMPILED_EVALS = 64
_ROWS_TO_PROCESSES = 256
"""Rows of one chunk that are with the processes of python graders: some batches for each."""
_ROWS_AT_ONCE = 128
"""Rows of one chunk that wait for models; how many calls are in flight is the limiter's to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the workflows of eval runs need of the outside."""

    evals: EvalStore
    runs: RunStore
    chunks: ChunkStore
    files: FileStore
    stored_objects: StoredObjectStore
    blobs: Blobs
    engine: Engine
    models: ModelPort
    sandbox: Sandbox
    clock: Clock


class EvalRuns:
    """The workflows of eval runs."""

    def __init__(self, ports: Ports, *, max_row_bytes: int) -> None:
        self._ports = ports
        self._clock = ports.clock
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
            blob = run.source_blob
            if blob is None:
                blob = await asyncio.to_thread(self._select, run)
            planned = await asyncio.to_thread(self._cut, run, blob)
            if planned is None:
                return
            if not planned:
                raise _RunError("empty_data_source", "The run's data source has no rows.")
            empty = Tally.empty(compiled.names).as_json()
            now = self._clock.now()
            await asyncio.to_thread(self._ports.chunks.plan, run, planned, source_blob=blob, tally=empty, now=now)
        undone = await asyncio.to_thread(self._ports.chunks.undone, run)
        await asyncio.to_thread(self._ports.engine.start_chunks, run.id, undone)
        await asyncio.to_thread(self._finish, run)

    async def _chunk(self, run: Run, k: int) -> None:
        claim = self._ports.chunks.claim(run, k)
        if claim is None or await self._grade(run, claim):
            self._finish(run)

    def _finish(self, run: Run) -> None:
        """End the run if every chunk is done; its secrets go too, or after a crash with the next upkeep."""
        if self._ports.chunks.finish(run, now=self._clock.now()) and run.has_secrets:
            drop_secrets(self._ports.runs, self._ports.blobs)

    async def _grade(self, run: Run, claim: ChunkClaim) -> bool:
        """Grade the chunk's rows that are not done; False where somebody else has taken it, or the run ended."""
        grading = RowGrading(
            self._compile(run),
            run,
            Tally.from_json(claim.tally),
            self._clock,
            self._max_row_bytes,
            await asyncio.to_thread(self._sampler, run, claim.chunk.k),
        )

        def commit(batch: Sequence[FinishedItem]) -> bool:
            waiting = self._ports.models.waiting() if grading.asks_models else None
            return self._ports.chunks.flush(claim, batch, grading.tally, done=False, waiting=waiting)

        with await asyncio.to_thread(self._ports.blobs.open, _source(run)) as source:
            lines = LineFeed(_left(jsonl.read(source, claim.chunk, max_row_bytes=self._max_row_bytes), claim))
            if grading.asks_models:
                at_once = min(claim.chunk.rows, _ROWS_AT_ONCE)
                held = await many_at_once(lines, grading.finish, commit, at_once)
            elif grading.waits:
                held = await in_turns(lines, grading.finish, commit, _ROWS_TO_PROCESSES, self._turns)
            else:
                held = await one_by_one(lines, grading.finish, commit, self._turns)
        return held and self._ports.chunks.flush(claim, [], grading.tally, done=True)

    def _sampler(self, run: Run, k: int) -> Sampler | None:
        """What asks the run's model for chunk `k`; None where its rows bring their samples."""
        data_source = run.data_source
        if run.has_secrets:
            secrets = loads(b"".join(self._ports.blobs.pieces(secrets_blob(run.id))))
            data_source = with_secrets(data_source, secrets)
        # Whether messages may be missing was decided when the run was created.
        plan = compile_plan(data_source, recorded=True)
        if plan is None:
            return None
        files = MessageFiles(run.project, self._ports.files, self._ports.blobs, self._clock)
        # Graders' calls have 0: rows that have their samples end before new ones begin. Early chunks come first.
        return Sampler(plan, self._ports.models, files, project=run.project, urgency=k + 1)

    def _select(self, run: Run) -> str:
        """Keep what the run's source selects now as the run's own rows; the blob that they are in."""
        eval_ = self._eval(run)
        selected = stored.rows(self._ports.stored_objects, run, eval_, now=self._clock.now())
        writer = self._ports.blobs.writer(own_blob(run.id))
        try:
            for row in selected:
                writer.write(row)
            writer.commit()
        finally:
            writer.abort()
        return own_blob(run.id)

    def _cut(self, run: Run, blob: str) -> list[Chunk] | None:
        """The run's chunks; None where it was ended while its source, which may be large, was read."""
        looked = time.perf_counter()

        def wanted() -> bool:
            nonlocal looked
            if time.perf_counter() - looked < _LOOK_SECONDS:
                return True
            looked = time.perf_counter()
            now = self._ports.runs.find(run.id)
            return now is not None and now.status == "queued"

        asks = self._compile(run).asks_models or run.model is not None
        with self._ports.blobs.open(blob) as source:
            return jsonl.cut(
                source, run_number=run.number, max_row_bytes=self._max_row_bytes, slow=asks, wanted=wanted
            )

    def _compile(self, run: Run) -> CompiledEval:
        """The run's eval, compiled; kept for its next chunks."""
        compiled = self._compiled.get(run.id)
        if compiled is None:
            eval_ = self._eval(run)
            while len(self._compiled) >= _COMPILED_EVALS:
                self._compiled.pop(next(iter(self._compiled)))
            programs = self._ports.sandbox.open()  # of this run alone: nothing of one reaches another
            compiled = self._compiled[run.id] = CompiledEval(eval_, self._ports.models, programs)
        return compiled

    def _eval(self, run: Run) -> Eval:
        eval_ = self._ports.evals.get(run.project, run.eval_id)
        if eval_ is None:
            raise NotFoundError(f"No eval found with id '{run.eval_id}'.")
        return eval_

    async def _persistently(self, run_id: str, work: Callable[[Run], Awaitable[None]]) -> None:
        """Do `work`, again after a pause where the machine got in the way; end the run as failed at last.

        A run never sits in between: it goes on, or it says why it does not.
        """
        attempt = 0
        while attempt < _ATTEMPTS:
            try:
                run = self._ports.runs.find(run_id)
                if run is not None and run.status in ("queued", "in_progress"):
                    await work(run)
                return
            except NoRoomError as error:
                logger.error("Run %s waits for room: %s", run_id, error.message)  # noqa: TRY400 - it says all
                await asyncio.sleep(_FULL_PAUSE_SECONDS)
            except UnavailableError as error:
                logger.warning("Run %s waits: %s", run_id, error.message)
                await asyncio.sleep(_OUTAGE_PAUSE_SECONDS)
            except RegradeError as error:
                logger.warning("Run %s failed: %s", run_id, error.message)
                await self._fail(run_id, error.code or "invalid_run", error.message)
                return
            except Exception:  # a disk or database that fails for a while; the traceback is logged
                attempt += 1
                logger.exception("Run %s met an error, attempt %d of %d", run_id, attempt, _ATTEMPTS)
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        await self._fail(run_id, "server_error", "The server could not go on with this run; its log says why.")

    async def _fail(self, run_id: str, code: str, message: str) -> None:
        while True:
            try:
                run = self._ports.runs.find(run_id)
                if run is not None:
                    self._ports.runs.fail(run, {"code": code, "message": message}, now=self._clock.now())
                return
            except UnavailableError:  # a full disk, or a database that is away for a while
                await asyncio.sleep(_OUTAGE_PAUSE_SECONDS)


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
