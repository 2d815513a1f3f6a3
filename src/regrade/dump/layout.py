"""The names and lines of a dump, and how to read them; docs/dump-format.md says the same in prose."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from regrade.core.errors import ConfigurationError
from regrade.core.jsontext import dumps
from regrade.dump.plan import DamagedDumpError
from regrade.dump.resources import RESOURCES, Answer, MalformedAnswerError, Request, parse
from regrade.types.json import JsonObject

FORMAT = 1
MANIFEST = "manifest.json"
CURSOR = "cursor.json"
LOCK = "lock"
CONTENTS = "files"
INCOMING = "incoming"

_ANSWER = b',"answer":'


def data_file(resource: str) -> str:
    """The file that holds the answers about a resource."""
    return f"{resource}.jsonl.gz"


def line_of(answer: Answer) -> bytes:
    """An answer as a line: our head, then the body as it came.

    The line breaks of a pretty-printed body become spaces; JSON has them between tokens only.
    """
    head = dumps(
        {
            "path": answer.request.path,
            "kind": answer.request.kind,
            "after": answer.after,
            "fetched_at": answer.fetched_at,
        }
    )
    body = answer.raw.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    return head[:-1] + _ANSWER + body + b"}\n"


def lines(root: Path, lengths: Mapping[str, int]) -> Iterator[Answer]:
    """Every saved answer. Raises DamagedDumpError, which names the file and the line."""
    for resource in RESOURCES:
        name = data_file(resource)
        if name in lengths:
            for number, line in enumerate(_raw_lines(root / name, lengths[name]), 1):
                try:
                    yield _answer(resource, line)
                except (MalformedAnswerError, ValueError, KeyError) as error:
                    raise DamagedDumpError(f"Line {number} of {root / name} cannot be read: {error}.") from error


def read_manifest(root: Path) -> JsonObject:
    """The manifest. Raises ConfigurationError where there is no dump that this version reads."""
    if not (root / MANIFEST).is_file():
        raise ConfigurationError(f"There is no dump in {root}: it has no {MANIFEST}.")
    manifest = _document(root / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise ConfigurationError(
            f"The dump in {root} has format {manifest.get('format')}; this version reads format {FORMAT}."
        )
    return manifest


def read_cursor(root: Path) -> dict[str, int]:
    """How many bytes of each data file are saved."""
    if not (root / CURSOR).is_file():
        raise DamagedDumpError(f"{root / CURSOR} is missing: without it nobody knows how much of the data counts.")
    lengths = _document(root / CURSOR).get("lengths")
    names = {data_file(resource) for resource in RESOURCES}
    if not isinstance(lengths, dict) or not all(
        name in names and isinstance(length, int) and length >= 0 for name, length in lengths.items()
    ):
        raise DamagedDumpError(f"{root / CURSOR} does not say how much of each data file counts.")
    return lengths


def _document(path: Path) -> JsonObject:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedDumpError(f"{path} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise DamagedDumpError(f"{path} is not a JSON object.")
    return document


def _answer(resource: str, line: bytes) -> Answer:
    # The head holds no object and ends where the answer begins, so the body can be had without parsing it twice.
    head_end = line.index(_ANSWER)
    head = json.loads(line[:head_end] + b"}")
    if not line.endswith(b"}\n"):
        raise ValueError("it is cut off")
    raw = line[head_end + len(_ANSWER) : -2]
    request = Request(resource=resource, path=head["path"], kind=head["kind"])
    return Answer(
        request=request,
        after=head["after"],
        fetched_at=head["fetched_at"],
        raw=raw,
        value=parse(raw, request.kind),
    )


def _raw_lines(path: Path, length: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=io.BufferedReader(_Prefix(file, length))) as text:
            yield from text
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedDumpError(f"{path} cannot be read: {error}.") from error


class _Prefix(io.RawIOBase):
    """The first bytes of a file, as if it ended there: a walk may be appending behind them."""

    def __init__(self, file: io.BufferedReader, length: int) -> None:
        self._file = file
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = self._file.readinto(buffer[: self._left])
        self._left -= size
        return size
