"""Large bytes as objects of a bucket (S3, Azure, Google), through obstore, which the extra `bucket` brings."""

import io
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO

from obstore.exceptions import BaseError
from obstore.store import from_url

from regrade.core.errors import ConfigurationError, NotFoundError, StorageError
from regrade.ports.blobs import BlobEntry
from regrade.store.blobs import checked_key
from regrade.store.room import needing_room

_RETRIES = 4
_RETRY_SECONDS = 20
_REQUEST_SECONDS = 60
_IN_MEMORY = 8 << 20
_PART = 8 << 20
"""Of a multipart upload; S3 takes 10,000 of them, so a blob can have 80 GB."""
_PARTS_AT_ONCE = 4
_FIRST_BLOCK = 256 << 10
_LARGEST_BLOCK = 4 << 20
_READERS_AHEAD = 8
_TOLD = 200


class BucketBlobs:
    """Blobs below one prefix of a bucket, which any number of machines may share."""

    def __init__(self, url: str, variables: Mapping[str, str], spool: Path) -> None:
        """`variables` are the cloud's own, such as AWS_REGION; blobs wait in `spool` until they are whole."""
        self._url = url
        self._spool = spool
        self._store = _opened(url, variables)
        self._ahead = ThreadPoolExecutor(_READERS_AHEAD, thread_name_prefix="read-ahead")

    def writer(self, key: str) -> "BucketBlobWriter":
        """Begin a blob; it takes the place of an earlier one of the same key when it is committed."""
        return BucketBlobWriter(self, checked_key(key), self._spool)

    def open(self, key: str) -> BinaryIO:
        """Open for reading, seekable; what is read one after another is fetched ahead. Raises NotFoundError."""
        with self._asked("find", key):
            size = self._store.head(checked_key(key))["size"]
        return io.BufferedReader(_BucketReader(self, key, size), _FIRST_BLOCK)

    def pieces(self, key: str, size: int = 1 << 18) -> Iterator[bytes]:
        """The whole blob in pieces. Raises NotFoundError now rather than in the middle of an answer."""
        return _pieces(self.open(key), size)

    def delete(self, key: str) -> None:
        """Forget a blob; harmless where there is none."""
        try:
            with self._asked("delete", key):
                self._store.delete(checked_key(key))
        except NotFoundError:  # some clouds say so
            return

    def clean(self) -> int:
        """Nothing to do: a writer that died has left its bytes in a file without a name, which is gone with it."""
        return 0

    def entries(self, kind: str) -> Iterator[BlobEntry]:
        """Every blob of a kind, asked for a thousand at a time."""
        pages = iter(self._store.list(f"{checked_key(kind)}/", chunk_size=1_000))
        while True:
            with self._asked("list", kind):
                page = next(pages, None)
            if page is None:
                return
            for entry in page:
                yield BlobEntry(str(entry["path"]), int(entry["last_modified"].timestamp()))

    def put(self, key: str, content: IO[bytes]) -> None:
        """Store an object whole, a large one in parts at once; of one that fails nothing stays."""
        with self._asked("keep", key):
            self._store.put(key, content, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE)

    def fetch(self, key: str, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of an object."""
        with self._asked("read", key):
            return memoryview(self._store.get_range(key, start=start, end=stop))

    def fetch_ahead(self, key: str, start: int, stop: int) -> Future[memoryview]:
        """As `fetch`, while the caller does something else."""
        return self._ahead.submit(self.fetch, key, start, stop)

    @contextmanager
    def _asked(self, what: str, key: str) -> Iterator[None]:
        """One request, in the terms of our errors."""
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise StorageError(
                    f"There is no bucket {self._url}. Make it, or start with other --blobs."
                ) from error
            raise NotFoundError(f"The bytes of {key} are not in the bucket any more.") from error
        except (BaseError, OSError) as error:
            raise StorageError(
                f"The bucket {self._url} could not {what} {key}: {_told(error)}. See that it can be reached and"
                " that the credentials may read, write, list and delete there; then try again."
            ) from error


class BucketBlobWriter:
    """A blob on its way: in memory, a large one in a file without a name, until the bucket gets it whole."""

    def __init__(self, bucket: BucketBlobs, key: str, spool: Path) -> None:
        self._bucket = bucket
        self._key = key
        # Closed by commit or abort, one of which comes last.
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(spool))  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Append."""
        with needing_room():
            self._file.write(data)

    def commit(self) -> None:
        """Make the blob visible, whole and durable."""
        with needing_room():
            self._file.flush()
        self._file.seek(0)
        self._bucket.put(self._key, self._file)
        self._file.close()

    def abort(self) -> None:
        """Forget it; harmless after commit."""
        self._file.close()


class _BucketReader(io.RawIOBase):
    """An object as a file, fetched in blocks that grow while it is read on, the next one ahead of its use."""

    def __init__(self, bucket: BucketBlobs, key: str, size: int) -> None:
        super().__init__()
        self._bucket = bucket
        self._key = key
        self._size = size
        self._position = 0
        self._block = memoryview(b"")
        self._start = 0
        """Of the block in the object."""
        self._length = _FIRST_BLOCK
        self._next: tuple[int, Future[memoryview]] | None = None

    def readable(self) -> bool:
        """As files say it."""
        return True

    def seekable(self) -> bool:
        """As files say it."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is fetched yet."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Where reading goes on."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill what fits of the block that holds the position."""
        if self._position >= self._size:
            return 0
        offset = self._position - self._start
        if not 0 <= offset < len(self._block):
            self._load()
            offset = 0
        taken = min(len(buffer), len(self._block) - offset)
        buffer[:taken] = self._block[offset : offset + taken]
        self._position += taken
        return taken

    def _load(self) -> None:
        """Fetch the block that begins at the position; where reading goes on, ask for the one behind it too."""
        start = self._position
        reads_on = len(self._block) > 0 and start == self._start + len(self._block)
        ahead, self._next = self._next, None
        if ahead and ahead[0] == start:
            self._block = ahead[1].result()
        else:
            if not reads_on:
                self._length = _FIRST_BLOCK
            self._block = self._bucket.fetch(self._key, start, min(start + self._length, self._size))
        self._start = start
        behind = start + len(self._block)
        if reads_on and behind < self._size:
            self._length = min(2 * self._length, _LARGEST_BLOCK)
            stop = min(behind + self._length, self._size)
            self._next = behind, self._bucket.fetch_ahead(self._key, behind, stop)


def _opened(url: str, variables: Mapping[str, str]) -> Any:
    """The store of obstore's that fits the URL. Raises ConfigurationError."""
    config: Any = {name.lower(): value for name, value in variables.items()}
    options: Any = {
        # Only an endpoint that the operator names may be asked without TLS.
        "allow_http": any("ENDPOINT" in name and value.startswith("http://") for name, value in variables.items()),
        "timeout": timedelta(seconds=_REQUEST_SECONDS),
    }
    retry: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
    try:
        return from_url(url, config=config, client_options=options, retry_config=retry)
    except BaseError as error:
        raise ConfigurationError(
            f"The bucket {url} cannot be used: {_told(error)}. What opens it comes from the cloud's usual"
            f" variables; of those that Regrade reads, the environment has {', '.join(variables) or 'none'}.",
            param="blobs",
        ) from error


def _pieces(source: BinaryIO, size: int) -> Iterator[bytes]:
    with source:
        while piece := source.read(size):
            yield piece


def _told(error: Exception) -> str:
    """The first line of what obstore says, without addresses, its own settings, and the XML that follows."""
    line = re.split(r"\n|: <\?xml|, max_retries", str(error))[0]
    return re.sub(r" https?://\S+", "", line)[:_TOLD].rstrip(". -")
