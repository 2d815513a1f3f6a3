"""/uploads."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentAttempt, CurrentProject, CurrentServices, Services, attempt_of
from regrade.api.http import Document, json_response
from regrade.api.multipart import announced_length, received
from regrade.api.openapi import answers, takes
from regrade.services.creations import Attempt
from regrade.services.incoming import Incoming
from regrade.types.json import JsonObject
from regrade.types.uploads import CompleteUpload, CreateUpload, Upload, UploadPart

router = APIRouter(tags=["Uploads"])

_FORM: JsonObject = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "format": "binary"}},
}


@router.post("/uploads", operation_id="createUpload", responses=answers(Upload), openapi_extra=takes(CreateUpload))
def create_upload(
    services: CurrentServices, project: CurrentProject, attempt: CurrentAttempt, document: Document
) -> Response:
    """Announce a file that will arrive in parts."""
    made = services.creations.once(
        attempt,
        lambda creation: services.uploads.create(project, document, creation),
        lambda upload_id: services.uploads.get(project, upload_id),
    )
    return json_response(made)


@router.post(
    "/uploads/{upload_id}/parts",
    operation_id="addUploadPart",
    responses=answers(UploadPart),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def add_upload_part(
    request: Request, services: CurrentServices, project: CurrentProject, upload_id: str
) -> Response:
    """Add a part. Parts may arrive side by side and in any order."""
    services.uploads.check_part_length(announced_length(request))

    def begin() -> Incoming:
        return services.uploads.receive_part(project, upload_id)

    async with received(request, begin=begin, file_field="data") as form:
        attempt = attempt_of(request, project, form.incoming.sha256)
        return json_response(
            await run_in_threadpool(_add_part, services, project, upload_id, attempt, form.incoming)
        )


def _add_part(services: Services, project: str, upload_id: str, attempt: Attempt, incoming: Incoming) -> JsonObject:
    return services.creations.once(
        attempt,
        lambda creation: services.uploads.add_part(project, upload_id, incoming, creation),
        lambda part_id: services.uploads.part(project, upload_id, part_id),
    )


@router.post(
    "/uploads/{upload_id}/complete",
    operation_id="completeUpload",
    responses=answers(Upload),
    openapi_extra=takes(CompleteUpload),
)
def complete_upload(
    services: CurrentServices, project: CurrentProject, upload_id: str, document: Document
) -> Response:
    """Make a file of the parts."""
    return json_response(services.uploads.complete(project, upload_id, document))


@router.post("/uploads/{upload_id}/cancel", operation_id="cancelUpload", responses=answers(Upload))
def cancel_upload(services: CurrentServices, project: CurrentProject, upload_id: str) -> Response:
    """Give an upload up."""
    return json_response(services.uploads.cancel(project, upload_id))
