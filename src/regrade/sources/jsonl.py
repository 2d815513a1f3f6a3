"""Rows from JSON Lines: where they begin, how they are read, and what a line must hold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from regrade.core.entities import Chunk
from regrade.core.errors import RowError
from regrade.core.jsontext import JsonTextError, loads
from regrade.types.json import JsonObject, JsonValue

_BOM = b"\xef\xbb\xbf"
_SEGMENT_ROWS = 1000
_SEGMENT_LINES = 100_000
_CHUNKS_AIM = 500
_MIN_CHUNK_ROWS = 2_000
_MIN_SLOW_CHUNK_ROWS = 200
_MAX_CHUNK_ROWS = 20_000


class Line(NamedTuple):
    """One non-blank line of a file."""

    row: int
    """The row's index in the run."""
    number: int
    """The line's number in the file, from 1."""
    text: bytes | None
    """None where the line is longer than the limit; it was skipped, not kept."""


@dataclass(slots=True)
class _Segment:
    """A stretch of at most _SEGMENT_LINES lines, at most _SEGMENT_ROWS of them rows."""

    start: int
    stop: int
    first_line: int
    rows: int


def cut(
    source: BinaryIO,
    *,
    run_number: int,
    max_row_bytes: int,
    slow: bool = False,
    wanted: Callable[[], bool] = lambda: True,
) -> list[Chunk] | None:
    """Read the source once and cut it into chunks of whole lines; memory does not grow with the rows.

    `slow` rows, which wait for models, go into smaller chunks. None as soon as the source is not `wanted` any more,
    which is asked again and again.
    """
    smallest = _MIN_SLOW_CHUNK_ROWS if slow else _MIN_CHUNK_ROWS
    segments = []
    for segment in _segments(source, max_row_bytes, min(smallest, _SEGMENT_ROWS)):
        if not wanted():
            return None
        segments.append(segment)
    rows = sum(segment.rows for segment in segments)
    aim = min(max(-(-rows // _CHUNKS_AIM), smallest), _MAX_CHUNK_ROWS)
    chunks: list[Chunk] = []
    first_row = 0
    for group in _grouped(segments, aim):
        size = sum(segment.rows for segment in group)
        chunks.append(
            Chunk(
                run_number=run_number,
                k=len(chunks),
                first_row=first_row,
                rows=size,
                first_line=group[0].first_line,
                start=group[0].start,
                stop=group[-1].stop,
            )
        )
        first_row += size
    return chunks


def _grouped(segments: Iterable[_Segment], aim: int) -> Iterator[list[_Segment]]:
    """Segments that follow each other, in groups of at least `aim` rows; blank stretches are left out."""
    group: list[_Segment] = []
    rows = 0
    for segment in segments:
        if segment.rows:
            group.append(segment)
            rows += segment.rows
        if group and (rows >= aim or not segment.rows):
            yield group
            group, rows = [], 0
    if group:
        yield group


def _segments(source: BinaryIO, max_row_bytes: int, segment_rows: int) -> Iterator[_Segment]:
    start = position = _after_bom(source)
    line_number = first_line = 1
    rows = 0
    for line, length in _lines(source, max_row_bytes):
        position += length
        line_number += 1
        if line is None or not line.isspace():
            rows += 1
        if rows == segment_rows or line_number - first_line == _SEGMENT_LINES:
            yield _Segment(start, position, first_line, rows)
            start, first_line, rows = position, line_number, 0
    if rows:
        yield _Segment(start, position, first_line, rows)


def read(source: BinaryIO, chunk: Chunk, *, max_row_bytes: int) -> Iterator[Line]:
    """The rows of one chunk, in order."""
    source.seek(chunk.start)
    left = chunk.stop - chunk.start
    number = chunk.first_line
    index = chunk.first_row
    for line, length in _lines(source, max_row_bytes):
        left -= length
        if line is None or not line.isspace():
            yield Line(index, number, line)
            index += 1
        number += 1
        if left <= 0:
            return


def halves(source: BinaryIO, chunk: Chunk, row: int, *, max_row_bytes: int) -> tuple[Chunk, Chunk]:
    """The chunk in two: what comes before row `row` of the run, and the rest."""
    source.seek(chunk.start)
    position, number, index = chunk.start, chunk.first_line, chunk.first_row
    for line, length in _lines(source, max_row_bytes):
        if line is None or not line.isspace():
            if index == row:
                break
            index += 1
        position += length
        number += 1
    before = index - chunk.first_row
    return (
        replace(chunk, rows=before, stop=position),
        replace(chunk, first_row=index, rows=chunk.rows - before, first_line=number, start=position),
    )


def _lines(source: BinaryIO, max_row_bytes: int) -> Iterator[tuple[bytes | None, int]]:
    """Each line (None where it is too long to be kept) and its length in bytes."""
    readline = source.readline
    limit = max_row_bytes + 1
    while line := readline(limit):
        if len(line) < limit or line.endswith(b"\n"):
            yield line, len(line)
            continue
        length = len(line)
        while rest := readline(1 << 20):
            length += len(rest)
            if rest.endswith(b"\n"):
                break
        yield None, length


def _after_bom(source: BinaryIO) -> int:
    """Move behind a byte order mark, if there is one, and say where that is."""
    source.seek(0)
    start = len(_BOM) if source.read(len(_BOM)) == _BOM else 0
    source.seek(start)
    return start


def parse(line: Line, *, max_row_bytes: int) -> tuple[JsonObject, JsonValue]:
    """The row's item and its recorded sample (None where it has none).

    A wrapped row is `{"item": {...}, "sample": ...}`; a flat row is the item itself, but for its `sample`.
    Raises RowError, which names the line.
    """
    if line.text is None:
        raise RowError(f"Line {line.number} is longer than {max_row_bytes} bytes, the limit for a row.")
    try:
        row = loads(line.text)
    except JsonTextError as error:
        raise RowError(f"Line {line.number}: {error.message}") from error
    try:
        return unwrap(row)
    except RowError as error:
        raise RowError(f"Line {line.number}: {error.message}") from error


def unwrap(row: JsonValue) -> tuple[JsonObject, JsonValue]:
    """A parsed row's item and sample; see `parse`."""
    if not isinstance(row, dict):
        raise RowError(f"A row must be a JSON object, and this is {_kind(row)}.")
    item = row.get("item")
    if isinstance(item, dict):
        return item, row.get("sample")
    return {key: value for key, value in row.items() if key != "sample"}, row.get("sample")


def _kind(value: JsonValue) -> str:
    """What a JSON value is called in a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case _:
            return "an array"
