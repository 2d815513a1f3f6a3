"""The rows of a data file before they are sent: counted, cut, checked."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from regrade.core import jsontext
from regrade.core.errors import InvalidError


def count(path: Path, limit: int | None = None) -> int:
    """How many rows a JSONL file has, or `limit` where it has more; blank lines are no rows."""
    with path.open("rb") as file:
        return sum(1 for _ in _lines(file, limit))


@contextmanager
def first(path: Path, limit: int | None) -> Iterator[BinaryIO]:
    """The file, or a temporary one with its first `limit` rows."""
    with path.open("rb") as file:
        if limit is None:
            yield file
            return
        with tempfile.TemporaryFile() as part:
            for _, line in _lines(file, limit):
                part.write(line.rstrip(b"\r\n") + b"\n")
            part.seek(0)
            yield part


def check(path: Path, limit: int | None = None) -> int:
    """Parse the rows and count them; raises InvalidError that names the first line which is no object."""
    rows = 0
    with path.open("rb") as file:
        for number, line in _lines(file, limit):
            try:
                row = jsontext.loads(line.removeprefix(b"\xef\xbb\xbf"))
            except InvalidError as error:
                raise InvalidError(f"Line {number} of {path}: {error.message}") from error
            if not isinstance(row, dict):
                raise InvalidError(f"Line {number} of {path} is not a JSON object.")
            rows += 1
    return rows


def _lines(file: BinaryIO, limit: int | None) -> Iterator[tuple[int, bytes]]:
    rows = 0
    for number, line in enumerate(file, 1):
        if rows == limit:
            return
        if line.strip():
            rows += 1
            yield number, line
