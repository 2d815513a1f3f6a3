"""One worker process as the event loop sees it: frames out, records in, in the order of the rows."""

import asyncio
import json
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from regrade.ports.grading import GraderError
from regrade.ports.sandbox import PythonGrade
from regrade.sandbox.jail import worker as inside
from regrade.sandbox.zygote import Process
from regrade.types.json import JsonObject

MAX_FRAME_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_RUNTIME_ERROR = "python_grader_runtime_error"


@dataclass(slots=True, eq=False)
class Ask:
    """One row that waits for its grade."""

    sample: JsonObject
    item: JsonObject
    batch: "Batch"
    place: int
    """In the batch."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return not self.batch.done.done()

    def answer(self, grade: PythonGrade) -> None:
        """Give the grade to whoever waits for it."""
        self.batch.put(self.place, grade)


class Batch:
    """Rows that were asked for together: one future for all of them."""

    def __init__(self, rows: int, done: asyncio.Future[list[PythonGrade]]) -> None:
        self.done = done
        self._grades: list[PythonGrade | None] = [None] * rows
        self._left = rows

    def put(self, place: int, grade: PythonGrade) -> None:
        """One row's grade, once."""
        if self._grades[place] is None:
            self._grades[place] = grade
            self._left -= 1
            if not self._left and not self.done.done():
                self.done.set_result([each for each in self._grades if each is not None])


class Worker:
    """A process that has loaded, or is loading, one source.

    It calls `on_answers` when rows were answered and `on_end`, once, with why it is of no use any more.
    """

    def __init__(
        self,
        process: Process,
        source: bytes,
        *,
        on_answers: Callable[["Worker"], None],
        on_end: Callable[["Worker", str], None],
        scratch: Path | None = None,
    ) -> None:
        self.process = process
        self.scratch = scratch
        self.loaded = False
        self.not_confined: str | None = None
        self.not_loaded: PythonGrade | None = None
        self.alone = False
        """Whether it holds one row that is suspected of ending its process."""
        self.asks: deque[Ask] = deque()
        """Sent and not answered."""
        self.frames: deque[int] = deque()
        """How many of `asks` each frame has left."""
        self.row_seconds: float | None = None
        """A row's time in the last whole frame."""
        self.answered = 0
        """Rows so far."""
        self._told = 0
        self._next = 0
        self._sent = 0
        self._unread = bytearray()
        self._unwritten = bytearray()
        self._on_answers = on_answers
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.progress = self._loop.time()
        """When it last did something, or was given something to do while it had nothing."""
        self._frame_started = self.progress
        self._frame_rows = 0
        self._ended = False
        self._loop.add_reader(process.answers, self._readable)
        self._write(inside.FRAME.pack(len(source), inside.PLAIN) + source)

    @property
    def idle(self) -> bool:
        """Whether it waits for rows."""
        return self.loaded and not self.asks

    def newly_answered(self) -> int:
        """How many rows were answered since this was last asked."""
        new, self._told = self.answered - self._told, self.answered
        return new

    def send(self, waiting: deque[Ask], most: int) -> None:
        """Take up to `most` rows that are still wanted from `waiting`, as one frame."""
        rows: list[bytes] = []
        size, form = 0, inside.PLAIN
        while waiting and len(rows) < most and size < MAX_FRAME_BYTES:
            ask = waiting.popleft()
            if not ask.wanted:
                continue
            try:
                row = orjson.dumps((ask.sample, ask.item))
            except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
                row, form = json.dumps((ask.sample, ask.item)).encode(), inside.EXACT
            rows.append(row)
            size += len(row)
            self.asks.append(ask)
        if not rows:
            return
        if not self.frames:
            self.progress = self._loop.time()
            self._begin_frame(len(rows))
        self.frames.append(len(rows))
        payload = b"[%d,[%b]]" % (self._sent, b",".join(rows))
        # The index of LOADED and NOT_CONFINED is never reached.
        self._sent = (self._sent + len(rows)) % inside.NOT_CONFINED
        self._write(inside.FRAME.pack(len(payload), form) + payload)

    def stop(self, reason: str) -> None:
        """Listen no more and say why; harmless when repeated. The process is the caller's to end."""
        if self._ended:
            return
        self._ended = True
        self._loop.remove_reader(self.process.answers)
        self._loop.remove_writer(self.process.requests)
        self._on_end(self, reason)

    def _begin_frame(self, rows: int) -> None:
        self._frame_started, self._frame_rows = self._loop.time(), rows

    def _write(self, data: bytes) -> None:
        if not self._unwritten:
            try:
                data = data[os.write(self.process.requests, data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # it is gone, which its answers' end will tell
            if not data:
                return
            self._loop.add_writer(self.process.requests, self._writable)
        self._unwritten += data

    def _writable(self) -> None:
        try:
            del self._unwritten[: os.write(self.process.requests, self._unwritten)]
        except BlockingIOError:
            return
        except OSError:
            self._unwritten.clear()
        if not self._unwritten:
            self._loop.remove_writer(self.process.requests)

    def _readable(self) -> None:
        try:
            data = os.read(self.process.answers, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.stop("ended")
            return
        self._unread += data
        wrong = self._take_records()
        if wrong:
            self.stop("protocol")
        elif self.not_confined is not None:
            self.stop("not confined")
        elif self.not_loaded is not None:
            self.stop("not loaded")
        else:
            self._on_answers(self)

    def _take_records(self) -> bool:
        """Answer what has arrived whole; True where it is not what an honest worker sends."""
        unread, place = self._unread, 0
        size = inside.RECORD.size
        while len(unread) - place >= size:
            index, status, value, error_bytes, printed_bytes = inside.RECORD.unpack_from(unread, place)
            if error_bytes > inside.MAX_ERROR or printed_bytes > inside.MAX_PRINTED:
                return True
            texts = place + size
            end = texts + error_bytes + printed_bytes
            if len(unread) < end:
                break
            error = printed = ""
            if texts < end:
                error = bytes(unread[texts : texts + error_bytes]).decode("utf-8", "replace")
                printed = bytes(unread[texts + error_bytes : end]).decode("utf-8", "replace")
            if status not in (inside.GRADED, inside.FAILED) or not math.isfinite(value):
                return True
            place = end
            if not self._take(index, value, error if status == inside.FAILED else None, printed):
                return True
        del unread[:place]
        if place:  # bytes that make no answer are no progress
            self.progress = self._loop.time()
        return False

    def _take(self, index: int, value: float, error: str | None, printed: str) -> bool:
        """Give one record to who waits for it; False where nobody does."""
        if not self.loaded:
            return self._take_first(index, error, printed)
        if not self.asks or index != self._next:
            return False
        self._next = (index + 1) % inside.NOT_CONFINED
        self.asks.popleft().answer(graded(value, error, printed))
        self.answered += 1
        self.frames[0] -= 1
        if not self.frames[0]:
            self.frames.popleft()
            self.row_seconds = (self._loop.time() - self._frame_started) / self._frame_rows
            if self.frames:
                self._begin_frame(self.frames[0])
        return True

    def _take_first(self, index: int, error: str | None, printed: str) -> bool:
        """The record that answers the source, or tells that there is no jail to load it in."""
        if index == inside.NOT_CONFINED:
            self.not_confined = error or "unknown"
        elif index != inside.LOADED:
            return False
        elif error is not None:
            self.not_loaded = graded(0.0, error, printed)
        else:
            self.loaded = True
        return True


def graded(value: float, error: str | None, printed: str = "") -> PythonGrade:
    """A grade, or the grader's error."""
    if error is None:
        return PythonGrade(value=value, printed=printed)
    return PythonGrade(error=GraderError(kind=_RUNTIME_ERROR, message=error), printed=printed)


def frame_rows(worker: Worker, waiting: int, others_idle: int, *, most: int, aim_seconds: float) -> int:
    """How many rows the next frame is to have: many for little work, few where a row takes long or others idle."""
    if worker.row_seconds is None:
        return 1
    by_time = max(1.0, aim_seconds / max(worker.row_seconds, 1e-9))
    return int(min(most, by_time, -(-waiting // (1 + others_idle))))


def unfinished(worker: Worker) -> tuple[Sequence[Ask], Sequence[Ask]]:
    """The rows of the frame that the worker was at, and those that it had not begun."""
    asks = list(worker.asks)
    current = worker.frames[0] if worker.frames else 0
    return asks[:current], asks[current:]
