"""/files."""

import hashlib
import re
from typing import Annotated, get_args
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from regrade.api.context import CurrentProject, CurrentServices, Services, attempt_of
from regrade.api.http import is_azure, json_response
from regrade.api.multipart import Form, announced_length, received
from regrade.api.openapi import answers
from regrade.api.paging import After, Order, envelope
from regrade.core.entities import PageRequest
from regrade.core.jsontext import dumps
from regrade.services.creations import Attempt
from regrade.types.files import File, FileDeleted, FileList, UploadPurpose
from regrade.types.json import JsonObject

router = APIRouter(tags=["Files"])

_MAX_PAGE = 10_000
_OCTETS = "application/octet-stream"
_FORM: JsonObject = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": list(get_args(UploadPurpose))},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
}


@router.post(
    "/files",
    operation_id="createFile",
    responses=answers(File),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def create_file(request: Request, services: CurrentServices, project: CurrentProject) -> Response:
    """Upload a file. Its bytes go to disk while they arrive."""
    services.files.check_length(announced_length(request))
    async with received(request, begin=services.files.receive, file_field="file") as form:
        attempt = attempt_of(request, project, _digest(form))
        return json_response(await run_in_threadpool(_create, services, project, attempt, form))


def _create(services: Services, project: str, attempt: Attempt, form: Form) -> JsonObject:
    return services.creations.once(
        attempt,
        lambda creation: services.files.create(
            project, form.incoming, form.filename, _document(form.fields), creation
        ),
        lambda file_id: services.files.get(project, file_id),
    )


@router.get("/files", operation_id="listFiles", responses=answers(FileList))
def list_files(
    services: CurrentServices,
    project: CurrentProject,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE, description="How many files a page has at most.")] = _MAX_PAGE,
    order: Order = "desc",
    purpose: Annotated[str | None, Query(description="Only files uploaded for this.")] = None,
) -> Response:
    """List files."""
    page = services.files.list(project, PageRequest(limit=limit, after=after, order=order), purpose=purpose)
    ids = [file["id"] for file in page.data]
    return json_response(
        envelope(
            [dumps(file) for file in page.data],
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=page.has_more,
        )
    )


@router.get("/files/{file_id}", operation_id="retrieveFile", responses=answers(File))
def retrieve_file(services: CurrentServices, project: CurrentProject, file_id: str) -> Response:
    """Retrieve a file's record."""
    return json_response(services.files.get(project, file_id))


@router.delete("/files/{file_id}", operation_id="deleteFile", responses=answers(FileDeleted))
def delete_file(services: CurrentServices, project: CurrentProject, file_id: str) -> Response:
    """Delete a file."""
    return json_response(services.files.delete(project, file_id))


@router.get(
    "/files/{file_id}/content",
    operation_id="downloadFile",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The file's bytes.", "content": {_OCTETS: {"schema": _FORM["properties"]["file"]}}}
    },
)
def retrieve_file_content(
    request: Request, services: CurrentServices, project: CurrentProject, file_id: str
) -> Response:
    """Download a file."""
    content = services.files.content(project, file_id, azure=is_azure(request.scope))
    headers = {"content-disposition": _attachment(content.filename), "content-length": str(content.size)}
    return StreamingResponse(content.pieces, headers=headers, media_type=_OCTETS)


def _document(fields: dict[str, str]) -> JsonObject:
    """The form's fields as the JSON that they stand for: `expires_after[seconds]=3600` is a number in an object."""
    document: JsonObject = {}
    for name, value in fields.items():
        outer, bracket, inner = name.partition("[")
        if outer != "expires_after" or not bracket:
            document[name] = value
            continue
        group = document.get(outer)
        if not isinstance(group, dict):
            group = document[outer] = {}
        is_number = inner == "seconds]" and re.fullmatch(r"-?[0-9]{1,18}", value)
        group[inner.removesuffix("]")] = int(value) if is_number else value
    return document


def _digest(form: Form) -> str:
    """Equal for equal forms, whatever boundary the client drew."""
    whole = [form.filename, form.incoming.sha256, sorted(form.fields.items())]
    return hashlib.sha256(dumps(whole)).hexdigest()


def _attachment(filename: str) -> str:
    """The header that lets a browser save the file under its name, whatever characters that has."""
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", filename)
    encoded = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
