"""/fine_tuning/jobs."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentAttempt, CurrentProject, CurrentServices
from regrade.api.http import Document, is_azure, json_response
from regrade.api.openapi import answers, takes
from regrade.api.paging import DEFAULT_LIMIT, After, Limit
from regrade.api.stored_objects import metadata_of
from regrade.core.entities import Page, PageRequest
from regrade.types.fine_tuning import (
    CreateFineTuningJob,
    FineTuningJob,
    FineTuningJobCheckpointList,
    FineTuningJobEventList,
    FineTuningJobList,
)
from regrade.types.json import JsonObject

router = APIRouter(tags=["Fine-tuning"], prefix="/fine_tuning/jobs")

_CHECKPOINTS = 10
_WITHOUT = "null"

MetadataFilter = Annotated[
    str | None,
    Query(
        alias="metadata",
        description="`metadata[key]=value` takes jobs with this pair, `metadata=null` takes jobs without any.",
    ),
]


@router.post(
    "",
    operation_id="createFineTuningJob",
    responses=answers(FineTuningJob),
    openapi_extra=takes(CreateFineTuningJob),
)
def create_job(
    request: Request,
    services: CurrentServices,
    project: CurrentProject,
    attempt: CurrentAttempt,
    document: Document,
) -> Response:
    """Create a job that trains a model."""
    azure = is_azure(request.scope)
    return json_response(
        services.creations.once(
            attempt,
            lambda creation: services.fine_tuning.create(project, document, creation, azure=azure),
            lambda job_id: services.fine_tuning.get(project, job_id),
        )
    )


@router.get("", operation_id="listPaginatedFineTuningJobs", responses=answers(FineTuningJobList))
def list_jobs(
    request: Request,
    services: CurrentServices,
    project: CurrentProject,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    metadata: MetadataFilter = None,
) -> Response:
    """List jobs, newest first."""
    wanted = {} if metadata == _WITHOUT else dict(metadata_of(request)) or None
    page = services.fine_tuning.list(project, PageRequest(limit=limit, after=after), wanted)
    return _list(page)


@router.get("/{job_id}", operation_id="retrieveFineTuningJob", responses=answers(FineTuningJob))
def retrieve_job(services: CurrentServices, project: CurrentProject, job_id: str) -> Response:
    """Retrieve a job."""
    return json_response(services.fine_tuning.get(project, job_id))


@router.post("/{job_id}/cancel", operation_id="cancelFineTuningJob", responses=answers(FineTuningJob))
def cancel_job(services: CurrentServices, project: CurrentProject, job_id: str) -> Response:
    """End a job at once."""
    return json_response(services.fine_tuning.cancel(project, job_id))


@router.post("/{job_id}/pause", operation_id="pauseFineTuningJob", responses=answers(FineTuningJob))
def pause_job(services: CurrentServices, project: CurrentProject, job_id: str) -> Response:
    """Let a running job save its next step and stop; it is `paused` once that is done."""
    return json_response(services.fine_tuning.pause(project, job_id))


@router.post("/{job_id}/resume", operation_id="resumeFineTuningJob", responses=answers(FineTuningJob))
def resume_job(services: CurrentServices, project: CurrentProject, job_id: str) -> Response:
    """Let a paused job go on."""
    return json_response(services.fine_tuning.resume(project, job_id))


@router.get("/{job_id}/events", operation_id="listFineTuningEvents", responses=answers(FineTuningJobEventList))
def list_events(
    services: CurrentServices,
    project: CurrentProject,
    job_id: str,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List what a job tells, newest first."""
    return _list(services.fine_tuning.events(project, job_id, PageRequest(limit=limit, after=after)))


@router.get(
    "/{job_id}/checkpoints",
    operation_id="listFineTuningJobCheckpoints",
    responses=answers(FineTuningJobCheckpointList),
)
def list_checkpoints(
    services: CurrentServices,
    project: CurrentProject,
    job_id: str,
    after: After = None,
    limit: Limit = _CHECKPOINTS,
) -> Response:
    """List a job's checkpoints, the highest step first."""
    page = services.fine_tuning.checkpoints(project, job_id, PageRequest(limit=limit, after=after))
    return json_response(with_ends(page))


def with_ends(page: Page[JsonObject]) -> JsonObject:
    """A list with the ids of its first and last object."""
    ids = [each["id"] for each in page.data]
    return {
        "object": "list",
        "data": page.data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": page.has_more,
    }


def _list(page: Page[JsonObject]) -> Response:
    return json_response({"object": "list", "data": page.data, "has_more": page.has_more})
