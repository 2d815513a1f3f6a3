"""Files."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Received

UploadPurpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
"""What a client may upload a file for; the server itself makes files for other purposes."""


class ExpiresAfter(Received):
    """When a file ends by itself: so many seconds, an hour to 30 days, after its creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class CreateFile(Received):
    """The form of POST /files, without the file."""

    purpose: UploadPurpose
    expires_after: ExpiresAfter | None = None


class File(Answered):
    """A file, without its bytes."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


FileList = CursorList[File]


class FileDeleted(Answered):
    """That a file is gone."""

    id: str
    object: Literal["file"]
    deleted: bool
