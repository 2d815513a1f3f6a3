"""The loop of one worker: a grader's source, then batches of rows, each row answered with one record."""

import contextlib
import io
import json
import linecache
import math
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

try:
    from orjson import loads as _fast_loads
except ImportError:
    from json import loads as _fast_loads  # type: ignore[assignment]

REQUESTS, ANSWERS = 3, 4
"""File descriptors of the two pipes."""

FRAME = struct.Struct("<IB")
"""Before each request: its length, and how its JSON is to be read."""
PLAIN, EXACT = 0, 1
"""EXACT has integers beyond 64 bits, or halves of surrogate pairs, which orjson does not read as they are."""

RECORD = struct.Struct("<IBdHH")
"""Index, status, value, length of the error's text, length of what was printed; the two texts follow."""
GRADED, FAILED = 0, 1
LOADED = 0xFFFFFFFF
"""The index in the record that answers the source."""

NOT_CONFINED = 0xFFFFFFFE
"""The index in the record of a worker that could not be held, and so loaded nothing."""

MAX_ERROR, MAX_PRINTED = 2000, 4000
"""Bytes of the two texts."""

FILE_NAME = "grader.py"
_FLUSH_S = 0.01
_MAX_BUFFERED = 1 << 15

Grade = Callable[[Any, Any], Any]


class _Printed(io.RawIOBase):
    """What the grader prints, as far as it is kept."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        room = MAX_PRINTED - len(self.kept)
        if room > 0:
            self.kept += bytes(data[:room])
        return len(data)


def serve() -> NoReturn:
    """Load the source and grade until the requests end. Never returns, never raises."""
    requests = open(REQUESTS, "rb", buffering=1 << 16)  # noqa: SIM115 - open for as long as the process is
    printed = _Printed()
    sys.stdout = sys.stderr = io.TextIOWrapper(printed, "utf-8", "replace", write_through=True)
    source = _read_frame(requests)
    try:
        grade = _load(source[1].decode("utf-8", "replace"))
    except BaseException as error:  # noqa: BLE001 - the grader's code may raise anything
        _write_all(_record(LOADED, error, printed))
        os._exit(0)
    _write_all(_record(LOADED, 0.0, printed))
    while True:
        form, payload = _read_frame(requests)
        _grade_batch(grade, form, payload, printed)


def _read_frame(requests: BinaryIO) -> tuple[int, bytes]:
    header = requests.read(FRAME.size)
    if len(header) < FRAME.size:
        os._exit(0)
    length, form = FRAME.unpack(header)
    payload = requests.read(length)
    if len(payload) < length:
        os._exit(0)
    return form, payload


def _load(source: str) -> Grade:
    linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(keepends=True), FILE_NAME)
    # A module of its own, and known as such: dataclasses and the like look their module up.
    module = type(sys)("grader")
    module.__file__ = FILE_NAME
    sys.modules["grader"] = module
    exec(compile(source, FILE_NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what the jail is for
    grade = getattr(module, "grade", None)
    if not callable(grade):
        raise TypeError("The source defines no function 'grade(sample, item)'.")
    return grade  # type: ignore[no-any-return]


def _grade_batch(grade: Grade, form: int, payload: bytes, printed: _Printed) -> None:
    """Answer row by row; what is done leaves after ten milliseconds at the latest, so that progress is seen."""
    loads = json.loads if form == EXACT else _fast_loads
    first, rows = loads(payload)
    clock = time.perf_counter
    done = bytearray()
    flush_at = clock() + _FLUSH_S
    for index, (sample, item) in enumerate(rows, first):
        outcome: float | BaseException
        try:
            outcome = _number(grade(sample, item))
        except BaseException as error:  # noqa: BLE001 - SystemExit, KeyboardInterrupt: all the same here
            outcome = error
        done += _record(index, outcome, printed)
        if clock() > flush_at or len(done) > _MAX_BUFFERED:
            _write_all(done)
            done.clear()
            flush_at = clock() + _FLUSH_S
    _write_all(done)


def _number(value: Any) -> float:
    """The score that a grader returned. Raises TypeError or ValueError, in words for its author."""
    if type(value) is not float:
        if isinstance(value, str | bytes | bytearray | complex) or not hasattr(type(value), "__float__"):
            raise TypeError(f"grade() must return a number, and returned {type(value).__name__}.")
        value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"grade() must return a finite number, and returned {value}.")
    return value  # type: ignore[no-any-return]


def _record(index: int, outcome: float | BaseException, printed: _Printed) -> bytes:
    if isinstance(outcome, float):
        if not printed.kept:
            return RECORD.pack(index, GRADED, outcome, 0, 0)
        status, value, error = GRADED, outcome, b""
    else:
        status, value, error = FAILED, 0.0, _described(outcome)
    kept = bytes(printed.kept)
    printed.kept.clear()
    return RECORD.pack(index, status, value, len(error), len(kept)) + error + kept


def _described(error: BaseException) -> bytes:
    """The traceback, as far as it lies in the grader's own lines; the end of it where it is too long."""
    try:
        lines = traceback.format_exception_only(type(error), error)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE_NAME]
        if frames:
            places = [
                f'  File "{FILE_NAME}", line {each.lineno}, in {each.name}\n    {each.line}\n' for each in frames
            ]
            lines = ["Traceback (most recent call last):\n", *places, *lines]
        text = "".join(line[-MAX_ERROR:] for line in lines).strip().encode("utf-8", "replace")
    except BaseException:  # noqa: BLE001 - an exception whose own methods raise
        text = b"An exception that cannot be described."
    finally:
        _forget(error.__traceback__)
    return text[-MAX_ERROR:]


def _forget(trace: TracebackType | None) -> None:
    """Let go of what the failed call had in its variables: it may have been all the memory there is."""
    with contextlib.suppress(BaseException):  # generators may object; the memory is theirs then
        traceback.clear_frames(trace)


def _write_all(data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(ANSWERS, view) :]
        except OSError:  # nobody listens any more
            os._exit(0)
