"""Files: what clients upload, list, read back and delete."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from regrade.core.entities import Creation, File, Page, PageRequest
from regrade.core.errors import InvalidError, NotFoundError, TooLargeError
from regrade.core.filenames import display_name
from regrade.core.parsing import parse
from regrade.ports.blobs import Blobs
from regrade.ports.store import FileStore
from regrade.ports.system import Clock, Ids
from regrade.services.incoming import Incoming, blob_key
from regrade.services.sweeping import sweep_blobs
from regrade.types.files import CreateFile, ExpiresAfter
from regrade.types.json import JsonObject

MAX_BYTES = 512 << 20
_RESULTS = "fine-tune-results"
_BATCH_LIFETIME = 30 * 86_400
_SWEEP_GRACE = 60  # a run that found its file just before it went has this long to be stored


class NoSuchFileError(NotFoundError):
    """The file does not exist, is deleted or expired, or belongs to another project."""

    code = None  # as the hosted API has it

    def __init__(self, file_id: str) -> None:
        super().__init__(f"No such File object: {file_id}", param="id")


@dataclass(frozen=True, slots=True)
class Content:
    """A file on its way to a client."""

    filename: str
    size: int
    pieces: Iterator[bytes]


class Files:
    """The files of all projects; each call sees one project's."""

    def __init__(
        self, store: FileStore, blobs: Blobs, clock: Clock, ids: Ids, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._ids = ids
        self._max_bytes = max_bytes

    def receive(self) -> Incoming:
        """Begin to take the bytes of a new file; `create` makes it one."""
        return Incoming(
            self._blobs,
            blob_key("files", self._ids.new("file")),
            limit=self._max_bytes,
            too_large=self.too_large,
        )

    def check_length(self, content_length: int) -> None:
        """Refuse at once a request that says that it is too long, whatever the form adds to the file."""
        if content_length > self._max_bytes + (1 << 20):
            raise self.too_large()

    def too_large(self) -> TooLargeError:
        """What a file over the limit is answered with."""
        return TooLargeError(
            f"A file can have at most {self._max_bytes >> 20} MB. Send a larger one in parts, with POST /uploads.",
            param="file",
        )

    def create(
        self, project: str, incoming: Incoming, filename: str, document: JsonObject, creation: Creation | None
    ) -> JsonObject:
        """Keep what arrived as a file; `document` holds the form's other fields."""
        request = parse(CreateFile, document)
        name = checked_name(filename, request.purpose, param="file")
        lifetime = lifetime_of(request.purpose, request.expires_after)
        now = self._clock.now()
        file = File(
            id=self._ids.new("file"),  # drawn now that it is whole: lists are in the order of becoming visible
            project=project,
            filename=name,
            purpose=request.purpose,
            bytes=incoming.size,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
            blob=incoming.blob,
        )
        incoming.commit()
        try:
            self._store.add(file, creation)
        except Exception:
            if self._store.get(project, file.id, now=now) is None:  # else the commit did succeed
                self._blobs.delete(file.blob)
            raise
        return file_document(file)

    def get(self, project: str, file_id: str) -> JsonObject:
        """The file. Raises NoSuchFileError where it is deleted or expired, too."""
        return file_document(self._file(project, file_id))

    def list(self, project: str, page: PageRequest, *, purpose: str | None) -> Page[JsonObject]:
        """One page of the project's files."""
        found = self._store.page(project, page, purpose=purpose, now=self._clock.now())
        return Page(data=[file_document(file) for file in found.data], has_more=found.has_more)

    def content(self, project: str, file_id: str, *, azure: bool = False) -> Content:
        """The file's bytes in pieces; results of fine-tuning come in base64, but not to Azure's clients."""
        file = self._file(project, file_id)
        pieces = self._blobs.pieces(file.blob)
        if file.purpose != _RESULTS or azure:
            return Content(file.filename, file.bytes, pieces)
        return Content(file.filename, -(-file.bytes // 3) * 4, _in_base64(pieces))

    def delete(self, project: str, file_id: str) -> JsonObject:
        """Forget the file now; its bytes go when no run reads them any more."""
        if not self._store.delete(project, file_id, now=self._clock.now()):
            raise NoSuchFileError(file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    def sweep(self, limit: int = 100) -> int:
        """Delete the bytes of up to `limit` files that are gone; how many there were."""
        return sweep_blobs(self._store, self._blobs, before=self._clock.now() - _SWEEP_GRACE, limit=limit)

    def _file(self, project: str, file_id: str) -> File:
        file = self._store.get(project, file_id, now=self._clock.now())
        if file is None:
            raise NoSuchFileError(file_id)
        return file


def _in_base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes as one base64 text."""
    left = b""
    for piece in pieces:
        whole = left + piece
        end = len(whole) - len(whole) % 3  # only the last piece may end in padding
        yield b64encode(whole[:end])
        left = whole[end:]
    yield b64encode(left)


def file_document(file: File) -> JsonObject:
    """The file as answered."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": file.status_details,
    }


def checked_name(filename: str, purpose: str, *, param: str) -> str:
    """The name to show for a file of this purpose. Raises InvalidError."""
    name = display_name(filename, param=param)
    if purpose == "fine-tune" and not name.lower().endswith(".jsonl"):
        raise InvalidError(
            f"A file for fine-tuning must be JSON Lines, with a name that ends in .jsonl; this one is '{name}'.",
            param=param,
        )
    return name


def lifetime_of(purpose: str, expires_after: ExpiresAfter | None) -> int | None:
    """Seconds from creation to the end of a file, or None where it stays."""
    if expires_after is not None:
        return expires_after.seconds
    return _BATCH_LIFETIME if purpose == "batch" else None
