"""What is kept in tables."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from regrade.core.entities import (
    Chunk,
    ChunkClaim,
    Creation,
    Eval,
    File,
    FinishedItem,
    Key,
    Page,
    PageRequest,
    Run,
    RunStatus,
    StoredKind,
    StoredObject,
    Upload,
    UploadPart,
)
from regrade.core.results import ItemStatus, Tally
from regrade.core.stored_objects import StoredFilter
from regrade.types.json import JsonObject


class CreationStore(Protocol):
    """Remembers creates for ten minutes, so that a repeated one makes nothing new."""

    def find(self, fingerprint: str, *, since: int) -> str | None:
        """The id of the object that a create with this fingerprint made at or after `since`."""
        ...

    def add(self, fingerprint: str, object_id: str, *, now: int) -> None:
        """Remember by itself what no object's own `add` remembers; a later one of this fingerprint replaces it."""
        ...


class EvalStore(Protocol):
    """Evals, each in one project."""

    def add(self, eval_: Eval, creation: Creation | None) -> None: ...

    def get(self, project: str, eval_id: str) -> Eval | None: ...

    def page(self, project: str, page: PageRequest, *, order_by: Literal["created_at", "updated_at"]) -> Page[Eval]:
        """Raises InvalidError (param `after`) where the cursor was never an eval of this project."""
        ...

    def update(
        self, project: str, eval_id: str, *, name: str | None, metadata: JsonObject | None, now: int
    ) -> bool:
        """Replace what is not None; False where there is no such eval."""
        ...

    def delete(self, project: str, eval_id: str, *, now: int) -> bool:
        """Delete the eval and its runs, cancelling those in progress; False where there is no such eval."""
        ...


class RunStore(Protocol):
    """Runs, with counts as they are at the moment of reading."""

    def add(self, run: Run, creation: Creation | None) -> Run:
        """Store a queued run; returned with its number."""
        ...

    def get(self, project: str, eval_id: str, run_id: str) -> Run | None: ...

    def find(self, run_id: str) -> Run | None:
        """For workflows, which know no project."""
        ...

    def page(self, project: str, eval_id: str, page: PageRequest, *, status: RunStatus | None) -> Page[Run]:
        """Raises InvalidError (param `after`) where the cursor was never a run of this eval."""
        ...

    def tally(self, run: Run) -> Tally:
        """The aggregates of the rows that have ended by now."""
        ...

    def cancel(self, run: Run, *, now: int) -> None:
        """End a queued or running run: from here on nobody can write to it. Harmless on an ended one."""
        ...

    def delete(self, run: Run, *, now: int) -> None:
        """Cancel, and let it vanish from all answers; its items go later, by `sweep`."""
        ...

    def fail(self, run: Run, error: JsonObject, *, now: int) -> None:
        """End the run as failed, unless it has ended already."""
        ...

    def unfinished(self) -> list[Run]:
        """Every queued or running run."""
        ...

    def ended_with_secrets(self, *, limit: int) -> list[Run]:
        """Runs that have ended, deleted ones too, and still have their secrets."""
        ...

    def forget_secrets(self, run: Run) -> None:
        """Note that the blob of the run's secrets is gone."""
        ...

    def sweep(self, *, now: int, limit: int) -> list[str]:
        """Remove up to `limit` items of deleted runs; the own blobs of runs that are gone now."""
        ...


class ChunkStore(Protocol):
    """The pieces of a run, and who may write each."""

    def plan(self, run: Run, chunks: Sequence[Chunk], *, source_blob: str, tally: JsonObject, now: int) -> bool:
        """Store the chunks and where their rows are, and set the run in progress; False where it was not queued."""
        ...

    def undone(self, run: Run) -> list[int]:
        """Numbers of the chunks that are not done yet."""
        ...

    def claim(self, run: Run, k: int, worker: str, *, most_deaths: int | None = None) -> ChunkClaim | None:
        """Become the only one who may write chunk `k`; None where it, or the run, has ended.

        None as well where another worker that lives has it, or where more workers than that died of it.
        """
        ...

    def neglected(self, run: Run) -> int | None:
        """The chunk to take where nobody works on any chunk of the run; the fewest deaths first."""
        ...

    def holds(self, claim: ChunkClaim) -> bool:
        """Whether the claim is the newest one, so that results may still be written."""
        ...

    def release(self, claim: ChunkClaim) -> None:
        """Hand the chunk over to whoever comes next; what is committed stays."""
        ...

    def split(self, claim: ChunkClaim, first: Chunk, second: Chunk, *, tally: JsonObject) -> None:
        """Put two chunks in the place of one, each as if one worker had died of it.

        `first` keeps the number and the results, `second` gets a new number and the empty tally. Nothing is done
        where the claim is lost.
        """
        ...

    def flush(
        self,
        claim: ChunkClaim,
        items: Sequence[FinishedItem],
        tally: Tally,
        *,
        done: bool,
        waiting: dict[str, int] | None = None,
    ) -> bool:
        """Commit results together with the chunk's new aggregates, and the endpoints that it waits for.

        False, and nothing written, where the claim is lost: to another claim, or because the run was ended.
        """
        ...

    def finish(self, run: Run, *, now: int) -> bool:
        """End the run if every chunk is done, adding the chunks up; anyone may call it at any time."""
        ...


class OutputItemStore(Protocol):
    """Finished rows, as the bytes to serve."""

    def get(self, run: Run, index: int) -> bytes | None: ...

    def page(
        self,
        run: Run,
        *,
        after: int | None,
        limit: int,
        order: Literal["asc", "desc"],
        status: ItemStatus | None,
    ) -> Page[tuple[int, bytes]]:
        """(row index, body) in row order, beyond the row `after` where it is given."""
        ...


class StoredObjectStore(Protocol):
    """Chat completions and responses that were kept, each in one project."""

    def add(self, stored: StoredObject, creation: Creation | None) -> None: ...

    def add_new(self, objects: Sequence[StoredObject]) -> int:
        """Store those whose ids are new to their project, in one commit; how many those were."""
        ...

    def get(self, project: str, kind: StoredKind, object_id: str, *, now: int) -> StoredObject | None: ...

    def page(
        self, project: str, kind: StoredKind, page: PageRequest, wanted: StoredFilter, *, now: int
    ) -> Page[StoredObject]:
        """By model, metadata and times of the filter alone; in the order of (created_at, id).

        Raises InvalidError (param `after`) where the cursor was never such an object of this project.
        """
        ...

    def select(self, project: str, kind: StoredKind, wanted: StoredFilter, *, now: int) -> Iterator[StoredObject]:
        """Those that have an answer and that the filter takes, newest first; all as they are at this moment."""
        ...

    def update_metadata(
        self, project: str, kind: StoredKind, object_id: str, metadata: JsonObject, *, now: int
    ) -> bool:
        """Replace the metadata; False where there is no such object."""
        ...

    def update_answer(self, stored: StoredObject) -> bool:
        """Replace status and answer; False where the object was deleted meanwhile."""
        ...

    def delete(self, project: str, kind: StoredKind, object_id: str, *, now: int) -> bool:
        """Forget what was asked and answered; False where there is no such object."""
        ...

    def sweep(self, *, now: int, limit: int) -> int:
        """Forget what has expired, up to `limit` objects; how many those were."""
        ...


class FileStore(Protocol):
    """Files and uploads: their records, not their bytes."""

    def add(self, file: File, creation: Creation | None) -> None: ...

    def get(self, project: str, file_id: str, *, now: int) -> File | None:
        """None where deleted or expired."""
        ...

    def page(self, project: str, page: PageRequest, *, purpose: str | None, now: int) -> Page[File]: ...

    def delete(self, project: str, file_id: str, *, now: int) -> bool: ...

    def sweep(self, *, before: int, limit: int) -> list[str]:
        """Blobs of files deleted or expired before then that no unfinished run reads, until `forget` names them."""
        ...

    def forget(self, blobs: Sequence[str]) -> None:
        """Note that these bytes are gone."""
        ...


class UploadStore(Protocol):
    """Uploads and their parts."""

    def add(self, upload: Upload, creation: Creation | None) -> None: ...

    def get(self, project: str, upload_id: str) -> Upload | None: ...

    def add_part(self, part: UploadPart, creation: Creation | None) -> None: ...

    def parts(self, upload_id: str) -> list[UploadPart]: ...

    def complete(self, upload: Upload, file: File) -> bool:
        """Set a pending upload completed and add its file, in one commit; False where it is not pending."""
        ...

    def end(self, upload_id: str, status: Literal["cancelled", "expired"]) -> bool:
        """End a pending upload; False where it is not pending."""
        ...

    def sweep(self, *, before: int, limit: int) -> list[str]:
        """Blobs of parts of ended uploads, until `forget` names them; what expired before then is ended first."""
        ...

    def forget(self, blobs: Sequence[str]) -> None:
        """Note that the bytes of these parts are gone."""
        ...


class KeyStore(Protocol):
    """API keys and the browser sessions that they open."""

    def add(self, key: Key, key_hash: bytes) -> None: ...

    def active(self) -> list[tuple[bytes, Key]]:
        """(hash, key) of every key that is not revoked."""
        ...

    def all(self) -> list[Key]: ...

    def revoke(self, key_id: str, *, now: int) -> bool: ...

    def add_session(self, session_hash: bytes, key_id: str, *, expires_at: int, now: int) -> None: ...

    def session(self, session_hash: bytes, *, now: int) -> Key | None:
        """The key of an unexpired session, unless it was revoked."""
        ...

    def end_session(self, session_hash: bytes) -> None:
        """Forget a session; harmless where there is none."""
        ...
