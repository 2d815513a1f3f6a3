"""Uploads: files that arrive in parts, up to 8 GB."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from regrade.core.entities import Creation, File, Upload, UploadPart
from regrade.core.errors import InvalidError, NotFoundError, StateError, TooLargeError
from regrade.core.parsing import parse
from regrade.ports.blobs import Blobs
from regrade.ports.store import FileStore, UploadStore
from regrade.ports.system import Clock, Ids
from regrade.services.files import checked_name, file_document, lifetime_of
from regrade.services.incoming import Incoming, blob_key
from regrade.services.sweeping import sweep_blobs
from regrade.types.json import JsonObject
from regrade.types.uploads import CompleteUpload, CreateUpload

MAX_BYTES = 8 << 30
MAX_PART_BYTES = 64 << 20
_LIFETIME = 3600
_SWEEP_GRACE = 60  # a completion that began just before the end may still read the parts


class Uploads:
    """The uploads of all projects; each call sees one project's."""

    def __init__(
        self,
        store: UploadStore,
        files: FileStore,
        blobs: Blobs,
        clock: Clock,
        ids: Ids,
        *,
        max_bytes: int = MAX_BYTES,
        max_part_bytes: int = MAX_PART_BYTES,
    ) -> None:
        self._store = store
        self._files = files
        self._blobs = blobs
        self._clock = clock
        self._ids = ids
        self._max_bytes = max_bytes
        self._max_part_bytes = max_part_bytes

    def create(self, project: str, document: JsonObject, creation: Creation | None) -> JsonObject:
        """Announce a file; its parts have an hour to arrive."""
        request = parse(CreateUpload, document)
        if request.bytes > self._max_bytes:
            raise InvalidError(f"An upload can have at most {self._max_bytes >> 20} MB.", param="bytes")
        now = self._clock.now()
        upload = Upload(
            id=self._ids.new("upload"),
            project=project,
            filename=checked_name(request.filename, request.purpose, param="filename"),
            purpose=request.purpose,
            mime_type=request.mime_type,
            bytes=request.bytes,
            created_at=now,
            expires_at=now + _LIFETIME,
            status="pending",
            file_expires_after=lifetime_of(request.purpose, request.expires_after),
        )
        self._store.add(upload, creation)
        return self._document(upload)

    def get(self, project: str, upload_id: str) -> JsonObject:
        """The upload. Raises NotFoundError."""
        return self._document(self._upload(project, upload_id))

    def receive_part(self, project: str, upload_id: str) -> Incoming:
        """Begin to take the bytes of a part; `add_part` makes it one."""
        self._pending(project, upload_id)
        key = blob_key("parts", self._ids.new("part"))
        return Incoming(self._blobs, key, limit=self._max_part_bytes, too_large=self.part_too_large)

    def check_part_length(self, content_length: int) -> None:
        """Refuse at once a request that says that it is too long, whatever the form adds to the part."""
        if content_length > self._max_part_bytes + (1 << 20):
            raise self.part_too_large()

    def part_too_large(self) -> TooLargeError:
        """What a part over the limit is answered with."""
        return TooLargeError(
            f"A part can have at most {self._max_part_bytes >> 20} MB. Send the file in more parts.", param="data"
        )

    def add_part(self, project: str, upload_id: str, incoming: Incoming, creation: Creation | None) -> JsonObject:
        """Keep what arrived as a part."""
        upload = self._pending(project, upload_id)
        part = UploadPart(
            id=self._ids.new("part"),
            upload_id=upload.id,
            bytes=incoming.size,
            created_at=self._clock.now(),
            blob=incoming.blob,
        )
        incoming.commit()
        self._store.add_part(part, creation)
        return _part_document(part)

    def part(self, project: str, upload_id: str, part_id: str) -> JsonObject:
        """A part that arrived before. Raises NotFoundError."""
        for part in self._store.parts(self._upload(project, upload_id).id):
            if part.id == part_id:
                return _part_document(part)
        raise NotFoundError(f"Upload '{upload_id}' has no part '{part_id}' any more.", param="part_id")

    def complete(self, project: str, upload_id: str, document: JsonObject) -> JsonObject:
        """Put the parts together in the order given; an upload that is completed already is answered as it is."""
        request = parse(CompleteUpload, document)
        upload = self._upload(project, upload_id)
        if upload.status == "pending":
            with suppress(NotFoundError):  # its parts are gone: another request has just ended the upload
                self._join(upload, self._chosen(upload, request.part_ids), request.md5)
            upload = self._upload(project, upload_id)
        if upload.status != "completed":
            raise StateError(f"Upload '{upload_id}' is {upload.status} and cannot be completed. Create a new one.")
        return self._document(upload)

    def cancel(self, project: str, upload_id: str) -> JsonObject:
        """Give the upload up; one that is cancelled already is answered as it is."""
        upload = self._upload(project, upload_id)
        if upload.status == "pending":
            self._store.end(upload_id, "cancelled")
            upload = self._upload(project, upload_id)
        if upload.status != "cancelled":
            raise StateError(f"Upload '{upload_id}' is {upload.status} and cannot be cancelled.")
        return self._document(upload)

    def sweep(self, limit: int = 100) -> int:
        """Delete the bytes of up to `limit` parts of ended uploads; how many there were."""
        return sweep_blobs(self._store, self._blobs, before=self._clock.now() - _SWEEP_GRACE, limit=limit)

    def _upload(self, project: str, upload_id: str) -> Upload:
        """The upload; one whose hour is over is expired, swept or not."""
        upload = self._store.get(project, upload_id)
        if upload is None:
            raise NotFoundError(f"No upload found with id '{upload_id}'.", param="upload_id")
        if upload.status == "pending" and upload.expires_at <= self._clock.now():
            return replace(upload, status="expired")
        return upload

    def _document(self, upload: Upload) -> JsonObject:
        file = None
        if upload.file_id is not None:
            file = self._files.get(upload.project, upload.file_id, now=self._clock.now())
        return {
            "id": upload.id,
            "object": "upload",
            "bytes": upload.bytes,
            "created_at": upload.created_at,
            "expires_at": upload.expires_at,
            "filename": upload.filename,
            "purpose": upload.purpose,
            "status": upload.status,
            "file": None if file is None else file_document(file),
        }

    def _pending(self, project: str, upload_id: str) -> Upload:
        upload = self._upload(project, upload_id)
        if upload.status != "pending":
            raise StateError(f"Upload '{upload_id}' is {upload.status} and takes no more parts. Create a new one.")
        return upload

    def _chosen(self, upload: Upload, part_ids: Sequence[str]) -> list[UploadPart]:
        """The parts by id, in this order, checked to hold as many bytes as were announced."""
        known = {part.id: part for part in self._store.parts(upload.id)}
        for i, part_id in enumerate(part_ids):
            if part_id not in known:
                raise InvalidError(f"Upload '{upload.id}' has no part '{part_id}'.", param=f"part_ids[{i}]")
        if len(set(part_ids)) != len(part_ids):
            raise InvalidError("A part is named twice. Name each part once, in order.", param="part_ids")
        parts = [known[part_id] for part_id in part_ids]
        size = sum(part.bytes for part in parts)
        if size != upload.bytes:
            raise InvalidError(
                f"The parts hold {size} bytes, but upload '{upload.id}' announced {upload.bytes}.", param="part_ids"
            )
        return parts

    def _join(self, upload: Upload, parts: Sequence[UploadPart], md5: str | None) -> None:
        """Write the parts one after another into a file's blob, and complete the upload with it."""
        file = self._new_file(upload)
        writer = self._blobs.writer(file.blob)
        digest = hashlib.md5(usedforsecurity=False)
        try:
            for part in parts:
                for piece in self._blobs.pieces(part.blob):
                    digest.update(piece)
                    writer.write(piece)
            if md5 is not None and md5.lower() != digest.hexdigest():
                raise InvalidError(
                    f"The parts have the MD5 {digest.hexdigest()}, not {md5[:32]}. Were they named in order?",
                    param="md5",
                )
            writer.commit()
        finally:
            writer.abort()
        if not self._store.complete(upload, file):
            self._blobs.delete(file.blob)

    def _new_file(self, upload: Upload) -> File:
        file_id, now = self._ids.new("file"), self._clock.now()
        return File(
            id=file_id,
            project=upload.project,
            filename=upload.filename,
            purpose=upload.purpose,
            bytes=upload.bytes,
            created_at=now,
            expires_at=None if upload.file_expires_after is None else now + upload.file_expires_after,
            blob=blob_key("files", file_id),
        )


def _part_document(part: UploadPart) -> JsonObject:
    return {
        "id": part.id,
        "object": "upload.part",
        "created_at": part.created_at,
        "upload_id": part.upload_id,
    }
