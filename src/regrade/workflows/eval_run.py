"""An eval run: planned once, cut into chunks, each chunk graded by one worker at a time.

Everything here may be killed at any point and be run again: it asks the store what is done, and does the rest.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from regrade.core.entities import Chunk, ChunkClaim, Eval, Run
from regrade.core.errors import NotFoundError, RegradeError
from regrade.core.ids import own_blob, secrets_blob
from regrade.core.jsontext import loads
from regrade.core.log_context import working_for
from regrade.core.metrics import Metrics
from regrade.core.results import Tally
from regrade.core.sampling import compile_plan
from regrade.core.tool_secrets import with_secrets
from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.models import ModelPort
from regrade.ports.sandbox import Sandbox
from regrade.ports.store import ChunkStore, EvalStore, FileStore, RunStore, StoredObjectStore
from regrade.ports.system import Clock
from regrade.ports.tracing import Tracing
from regrade.ports.workers import Pulse
from regrade.sources import jsonl, stored
from regrade.workflows.chunk import Outcome, RowRoom, in_batches, many_at_once, one_by_one
from regrade.workflows.commits import Commits
from regrade.workflows.feed import LineFeed
from regrade.workflows.grading import CompiledEval, RowGrading
from regrade.workflows.persistence import Persistence
from regrade.workflows.sampling import MessageFiles, Sampler
from regrade.workflows.turns import Turns
from regrade.workflows.upkeep import drop_secrets

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_LEAD_SECONDS = (0.3, 2.0)
"""Between looks of who leads a run at whether anybody works on it: at first, and at most."""
_COMPILED_EVALS = 64
_ROWS_AT_ONCE = 512
"""Rows that wait for models in one worker, at least; how many calls are in flight is the limiter's to say."""
_CHUNKS_AT_ONCE = 4
"""Chunks that have that room between them, mostly."""
_DEATHS_OF_A_CHUNK = 2
_DEATHS_OF_A_ROW = 3
"""A row that was alone when it killed: other work of those workers may have been the cause before."""


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
    pulse: Pulse
    clock: Clock
    metrics: Metrics
    tracing: Tracing


class EvalRuns:
    """The workflows of eval runs."""

    def __init__(self, ports: Ports, *, worker: str, max_row_bytes: int, calls_at_once: int) -> None:
        """`calls_at_once` is how many calls of one model this worker may have in flight."""
        self._ports = ports
        self._clock = ports.clock
        self._pulse = ports.pulse
        self._worker = worker
        self._max_row_bytes = max_row_bytes
        self._compiled: dict[str, CompiledEval] = {}
        self._turns = Turns()
        rows = max(_ROWS_AT_ONCE, 2 * calls_at_once)
        self._room = RowRoom(rows, most_of_a_chunk=rows // _CHUNKS_AT_ONCE)
        self._persistence = Persistence(ports.runs, ports.clock, ports.pulse)
        self._held: set[tuple[int, int]] = set()
        """The chunks that are being graded here, as (run number, k)."""

    @property
    def busy(self) -> bool:
        """Whether chunks are being graded here."""
        return bool(self._held)

    async def run(self, run_id: str) -> None:
        """Plan a queued run, ask for its chunks, and lead it to its end."""
        with working_for(run_id):
            await self._persistence.do(run_id, self._run)
            await asyncio.to_thread(self._tell_of_the_end, run_id)

    async def chunk(self, run_id: str, k: int) -> None:
        """Grade what is left of a chunk; whoever does the last one ends the run."""
        with working_for(run_id, k):
            await self._persistence.do(run_id, lambda run: self._chunk(run, k, most_deaths=_DEATHS_OF_A_CHUNK - 1))

    def _tell_of_the_end(self, run_id: str) -> None:
        run = self._ports.runs.find(run_id) if self._ports.tracing.on else None
        if run is not None and run.status not in ("queued", "in_progress"):
            self._ports.tracing.run_ended(run)

    async def _run(self, run: Run) -> None:
        await self._unless_stopping()
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
        await self._lead(run)

    async def _lead(self, run: Run) -> None:
        """See to it that the run goes on until it has ended.

        Each chunk has a workflow of its own, which may have to wait while workers are full. No run waits that long:
        where no chunk of it is worked on at all, whoever leads takes one. Chunks that have killed workers are left
        to the leader, one at a time.
        """
        shortest, longest = _LEAD_SECONDS
        pause = shortest
        while True:
            now = await asyncio.to_thread(self._ports.runs.find, run.id)
            if now is None or now.status != "in_progress":
                return
            await asyncio.sleep(pause)
            await self._unless_stopping()
            k = await asyncio.to_thread(self._ports.chunks.neglected, now)
            if k is not None and (now.number, k) not in self._held:
                with working_for(run.id, k):
                    await self._chunk(now, k)
                pause = shortest
            else:
                await asyncio.to_thread(self._finish, now)
                pause = min(2 * pause, longest)

    async def _unless_stopping(self) -> None:
        """Begin nothing in a worker that stops: its workflows wait here until another one has them."""
        if self._pulse.stopping:
            await asyncio.Event().wait()
        await self._pulse.hold()

    async def _chunk(self, run: Run, k: int, *, most_deaths: int | None = None) -> None:
        await self._unless_stopping()
        held = (run.number, k)
        if held in self._held:
            return
        claim = self._ports.chunks.claim(run, k, self._worker, most_deaths=most_deaths)
        if claim is None:
            self._finish(run)
            return
        self._held.add(held)
        try:
            with self._ports.tracing.chunk(run.id, k):
                outcome = await self._grade(run, claim)
            if outcome == "stopped":
                self._ports.chunks.release(claim)
        finally:
            self._held.discard(held)
        if outcome == "done":
            self._finish(run)
        await self._unless_stopping()

    def _finish(self, run: Run) -> None:
        """End the run if every chunk is done; its secrets go too, or after a crash with the next upkeep."""
        if self._ports.chunks.finish(run, now=self._clock.now()) and run.has_secrets:
            drop_secrets(self._ports.runs, self._ports.blobs)

    async def _grade(self, run: Run, claim: ChunkClaim) -> Outcome:
        """Grade the chunk's rows that are not done."""
        undone = claim.undone_rows() if claim.deaths >= _DEATHS_OF_A_CHUNK else []
        if len(undone) > 1:
            self._halve(run, claim, undone[len(undone) // 2])
            return "lost"
        grading = RowGrading(
            self._compile(run),
            run,
            Tally.from_json(claim.tally),
            self._clock,
            self._max_row_bytes,
            await asyncio.to_thread(self._sampler, run),
        )
        ports = self._ports
        commits = Commits(claim, grading, ports.chunks, ports.models, ports.pulse, ports.metrics)
        if undone and claim.deaths >= _DEATHS_OF_A_ROW:
            kept = await commits.commit([grading.killer(undone[0], claim.deaths)])
            return await commits.end("done" if kept else "lost")
        turn = self._turns.turn(run.number, claim.chunk.k)
        with await asyncio.to_thread(self._ports.blobs.open, _source(run)) as source:
            lines = LineFeed(_left(jsonl.read(source, claim.chunk, max_row_bytes=self._max_row_bytes), claim))
            if grading.asks_models:
                outcome = await many_at_once(lines, grading.finish, commits.commit, self._room, self._pulse)
            elif grading.waits:
                outcome = await in_batches(lines, grading.finish_all, commits.commit, turn, self._pulse)
            else:
                outcome = await one_by_one(lines, grading.finish, commits.commit, turn, self._pulse)
        return await commits.end(outcome)

    def _halve(self, run: Run, claim: ChunkClaim, row: int) -> None:
        """Put two chunks in the place of one that kills workers, so that fewer rows are under suspicion."""
        logger.warning(
            "Chunk %d of run %s has killed %d workers; it goes on in halves, from row %d on apart",
            claim.chunk.k, run.id, claim.deaths, row,
        )  # fmt: skip
        with self._ports.blobs.open(_source(run)) as source:
            first, second = jsonl.halves(source, claim.chunk, row, max_row_bytes=self._max_row_bytes)
        empty = Tally.empty(self._compile(run).names).as_json()
        self._ports.chunks.split(claim, first, second, tally=empty)

    def _sampler(self, run: Run) -> Sampler | None:
        """What asks the run's model; None where its rows bring their samples."""
        data_source = run.data_source
        if run.has_secrets:
            secrets = loads(b"".join(self._ports.blobs.pieces(secrets_blob(run.id))))
            data_source = with_secrets(data_source, secrets)
        # Whether messages may be missing was decided when the run was created.
        plan = compile_plan(data_source, recorded=True)
        if plan is None:
            return None
        files = MessageFiles(run.project, self._ports.files, self._ports.blobs, self._clock)
        return Sampler(plan, self._ports.models, files, project=run.project)

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
