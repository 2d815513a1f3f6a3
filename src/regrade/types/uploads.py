"""Uploads: files that arrive in parts."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.files import ExpiresAfter, File, UploadPurpose
from regrade.types.wire import Answered, Received


class CreateUpload(Received):
    """The body of POST /uploads."""

    bytes: Annotated[int, Field(ge=0)]
    filename: str
    mime_type: Annotated[str, Field(max_length=255)]
    purpose: UploadPurpose
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Received):
    """The body of POST /uploads/{upload_id}/complete."""

    part_ids: list[str]
    md5: str | None = None


class Upload(Answered):
    """An upload; `file` once it is completed."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: File | None


class UploadPart(Answered):
    """A part of an upload."""

    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str
