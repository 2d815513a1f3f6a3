"""One grader's source at work: rows in batches to its processes, and what becomes of rows whose process dies."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from regrade.core.errors import RegradeError
from regrade.core.metrics import Series
from regrade.ports.grading import GraderError
from regrade.ports.sandbox import PythonGrade
from regrade.sandbox.budget import Budget
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.scratch import MAX_FILES, over, remove
from regrade.sandbox.worker import Ask, Batch, Worker, frame_rows, graded, unfinished
from regrade.sandbox.zygote import Process, Zygote, ZygoteError
from regrade.types.json import JsonObject

_BATCH_ROWS = 64
_FRAMES_AHEAD = 2
_AIM_SECONDS = 0.05
"""What a frame should take at most, so that a cancelled run and a last row do not wait for a long one."""
_LOOK_SECONDS = 0.1
_LOOK_SHARE = 20
"""Counting files may take one part in so many of the loop's time."""
_IDLE_SECONDS = 5.0
_THREADS = 64
_SPAWN_ATTEMPTS = 2
_FAULTS = 3
_WANTED_NO_MORE = ("closed", "done", "idle", "handed over")


@dataclass(frozen=True, slots=True)
class Patience:
    """When a grader whose processes die is not started again."""

    deaths_in_a_row: int
    timeouts: int


_PATIENCE = {
    "run": Patience(deaths_in_a_row=3, timeouts=10),
    # Here the code of one row dies, which says little about the next.
    "item": Patience(deaths_in_a_row=10, timeouts=50),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What programs need of the sandbox that they are in."""

    zygote: Callable[[], Zygote]
    """A living one, from a thread; raises ZygoteError."""
    scratch: Callable[[], Path | None]
    """A new empty folder for a worker; None where workers make their own."""
    options: SandboxOptions
    budget: Budget
    grades: Series
    """Counts answered rows."""
    deaths: Series
    """Counts processes that ended although they were wanted."""


class Program:
    """ports.PythonProgram. Belongs to the event loop on which it is first asked."""

    def __init__(self, source: str, place: Place, *, each_alone: bool) -> None:
        """`each_alone` gives every row a process of its own, so that none can touch another's grade."""
        self._source = source.encode("utf-8", "replace")
        self._place = place
        self._each_alone = each_alone
        self._patience = _PATIENCE["item" if each_alone else "run"]
        self._waiting: deque[Ask] = deque()
        self._suspects: deque[Ask] = deque()
        """Rows of a batch whose process died: each is tried alone."""
        self._workers: list[Worker] = []
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._watching = False
        self._scratch_due = 0.0
        self._deaths_in_a_row = 0
        self._timeouts = 0
        self._faults = 0
        """Processes that ended because their zygote did, one after the other."""
        self._verdict: PythonGrade | None = None
        """What every further row gets."""

    async def grade(self, rows: Sequence[tuple[JsonObject, JsonObject]]) -> list[PythonGrade]:
        """See ports.PythonProgram. Rows that ask at about the same time travel together."""
        if self._verdict is not None:
            return [self._verdict] * len(rows)
        if not rows:
            return []
        loop = asyncio.get_running_loop()
        batch = Batch(len(rows), loop.create_future())
        self._waiting.extend([Ask(sample, item, batch, place) for place, (sample, item) in enumerate(rows)])
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch)
        return await batch.done

    async def close(self) -> None:
        """End all processes and wait for that; rows that still wait are cancelled."""
        for worker in list(self._workers):
            worker.stop("closed")
        for ask in (*self._waiting, *self._suspects):
            ask.batch.done.cancel()
        self._waiting.clear()
        self._suspects.clear()
        self._verdict = graded(0.0, "The grader was closed.")
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _dispatch(self) -> None:
        self._scheduled = False
        for worker in list(self._workers):
            self._feed(worker)
        if (self._waiting or self._suspects) and self._starting < self._wanted():
            first = not self._workers and not self._starting
            budget = self._place.budget
            if budget.take_first(self._dispatch) if first else budget.take_another():
                self._starting += 1
                self._background(self._start())
        if self._workers and not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _wanted(self) -> int:
        """How many more processes the waiting rows are worth."""
        left = self._place.options.workers - len(self._workers)
        return min(left, len(self._waiting) + len(self._suspects))

    def _feed(self, worker: Worker) -> None:
        if not worker.loaded:
            return
        wanted = self._place.budget.wanted
        if wanted and worker.idle:
            worker.stop("handed over")
            return
        if self._each_alone:
            if worker.idle:
                worker.send(self._suspects or self._waiting, 1)
                worker.alone = not worker.idle
            return
        if self._suspects and worker.idle:
            worker.send(self._suspects, 1)
            worker.alone = not worker.idle
        while not worker.alone and self._waiting and len(worker.frames) < (1 if wanted else _FRAMES_AHEAD):
            idle = sum(other.idle for other in self._workers if other is not worker)
            rows = frame_rows(worker, len(self._waiting), idle, most=_BATCH_ROWS, aim_seconds=_AIM_SECONDS)
            worker.send(self._waiting, rows)

    def _answered(self, worker: Worker) -> None:
        self._place.grades.add(worker.newly_answered())
        if worker.answered:
            self._deaths_in_a_row = self._faults = 0
        if worker.idle and worker.alone:
            worker.alone = False
            if self._each_alone:
                worker.stop("done")
                return
        if self._waiting or self._suspects:
            self._feed(worker)

    async def _start(self) -> None:
        """One more process. Where there cannot be one, all rows that wait are told so."""
        try:
            worker = await self._new_worker()
        except (RegradeError, OSError) as error:
            self._starting -= 1
            self._place.budget.give_back()
            if not self._workers:
                self._fail_waiting(_server_error(error))
            return
        self._starting -= 1
        if self._verdict is not None:
            self._workers.append(worker)
            worker.stop("closed")
            return
        self._workers.append(worker)
        self._dispatch()

    async def _new_worker(self) -> Worker:
        process, scratch = await asyncio.to_thread(self._spawn)
        return Worker(process, self._source, on_answers=self._answered, on_end=self._lost, scratch=scratch)

    def _spawn(self) -> tuple[Process, Path | None]:
        """A process, from a new zygote where the first one turns out to be gone."""
        options = self._place.options
        scratch = self._place.scratch()
        for attempt in range(_SPAWN_ATTEMPTS):
            try:
                process = self._place.zygote().spawn(
                    memory=options.memory, scratch_bytes=options.scratch, scratch=scratch, threads=_THREADS
                )
            except ZygoteError:
                if attempt + 1 == _SPAWN_ATTEMPTS:
                    if scratch is not None:
                        remove(scratch)
                    raise
            else:
                break
        return process, scratch

    def _lost(self, worker: Worker, reason: str) -> None:
        self._workers.remove(worker)
        self._place.grades.add(worker.newly_answered())
        if reason not in _WANTED_NO_MORE and worker.not_loaded is None:
            self._place.deaths.add()
        self._background(self._bury(worker, reason))

    async def _bury(self, worker: Worker, reason: str) -> None:
        """Take the process's exit status, then decide about the rows that it had."""
        status = await asyncio.to_thread(_end, worker)
        self._place.budget.give_back()
        if reason in _WANTED_NO_MORE:
            for ask in worker.asks:
                ask.batch.done.cancel()
        elif worker.not_confined is not None:
            self._fail_waiting(_server_error(f"A process could not be confined ({worker.not_confined})."))
        elif worker.not_loaded is not None:
            self._stop(worker.not_loaded)
        elif status is None and reason == "ended":
            self._waiting.extendleft(reversed(worker.asks))
            self._faults += 1
            if self._faults >= _FAULTS:
                self._fail_waiting(_server_error("The python graders' parent process ends again and again."))
        else:
            self._decide(worker, self._cause(worker, reason, status), timed_out=reason == "time")
        if self._waiting or self._suspects:
            self._dispatch()

    def _decide(self, worker: Worker, cause: str, *, timed_out: bool) -> None:
        current, later = unfinished(worker)
        self._waiting.extendleft(reversed(later))
        culprit = None
        if not worker.loaded or worker.alone or len(current) == 1:
            culprit = current[0] if current else None
            self._deaths_in_a_row += 1
            self._timeouts += timed_out
            self._waiting.extendleft(reversed(current[1:]))
        else:
            self._suspects.extend(current)
        if culprit is not None:
            culprit.answer(graded(0.0, cause))
        patience = self._patience
        if self._deaths_in_a_row >= patience.deaths_in_a_row or self._timeouts >= patience.timeouts:
            self._stop(graded(0.0, f"The grader is not started again, because it failed again and again. {cause}"))

    def _cause(self, worker: Worker, reason: str, status: int | None) -> str:
        """What ended the process, in words for the grader's author."""
        options = self._place.options
        doing = "The grade" if worker.loaded else "Loading the grader"
        match reason:
            case "time":
                limit = options.timeout_s if worker.loaded else options.load_timeout_s
                return f"{doing} took longer than {limit:g} seconds."
            case "scratch":
                return f"The grader wrote more than {options.scratch} bytes or {MAX_FILES} files."
            case "protocol":
                return "The grader's process wrote into the channel of its results."
        if status is not None and status < 0:
            return f"The grader's process was ended by {_signal_name(-status)}."
        return "The grader's process ended." if status is None else f"The grader ended its process ({status})."

    def _look(self) -> None:
        """Every now and then: what took too long, what nobody wants any more, what has nothing to do."""
        loop = asyncio.get_running_loop()
        options = self._place.options
        self._watching = bool(self._workers)
        if self._workers:
            loop.call_later(_LOOK_SECONDS, self._look)
        for worker in list(self._workers):
            unused = loop.time() - worker.progress
            if worker.idle:
                if unused > _IDLE_SECONDS and not self._waiting:
                    worker.stop("idle")
            elif unused > (options.timeout_s if worker.loaded else options.load_timeout_s):
                worker.stop("time")
            elif worker.loaded and not any(ask.wanted for ask in worker.asks):
                worker.stop("closed")
            elif worker.scratch is not None and self._over(worker.scratch):
                worker.stop("scratch")

    def _over(self, folder: Path) -> bool:
        """Whether a folder holds too much; asked so seldom that a crowded one keeps the loop from nobody."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < self._scratch_due:
            return False
        found = over(folder, self._place.options.scratch)
        self._scratch_due = began + _LOOK_SHARE * (loop.time() - began)
        return found

    def _stop(self, verdict: PythonGrade) -> None:
        self._verdict = verdict
        self._fail_waiting(verdict)
        for worker in list(self._workers):
            for ask in worker.asks:
                ask.answer(verdict)
            worker.stop("closed")

    def _fail_waiting(self, grade: PythonGrade) -> None:
        for ask in (*self._waiting, *self._suspects):
            ask.answer(grade)
        self._waiting.clear()
        self._suspects.clear()

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _server_error(error: Exception | str) -> PythonGrade:
    return PythonGrade(error=GraderError(kind="python_grader_server_error", message=str(error)))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(worker: Worker) -> int | None:
    try:
        return worker.process.end()
    finally:
        if worker.scratch is not None:
            remove(worker.scratch)
