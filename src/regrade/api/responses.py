"""/responses."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from regrade.api import streaming
from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.context import project as project_of
from regrade.api.context import services as services_of
from regrade.api.http import document as document_of
from regrade.api.http import json_response
from regrade.api.openapi import answers, streams, takes
from regrade.api.paging import DEFAULT_LIMIT, After, Limit, Order
from regrade.api.stored_objects import earlier, list_response
from regrade.core.entities import PageRequest
from regrade.types.responses import CreateResponse, InputItemList, ResponseDeleted
from regrade.types.responses import Response as ResponseAnswer

router = APIRouter(tags=["Responses"])


@router.post(
    "/responses",
    operation_id="createResponse",
    responses=streams(ResponseAnswer),
    openapi_extra=takes(CreateResponse),
)
async def create_response(request: Request) -> Response:
    """Ask a model."""
    project, services = await project_of(request), await services_of(request)
    document = await document_of(request)
    creation = None
    if document.get("store") is not False:
        creation, made = await earlier(request, services, project, services.responses.stored.get)
        if made is not None and not document.get("stream"):
            return json_response(made)
    if document.get("stream"):
        return await streaming.stream(request, services.responses.stream(project, document, creation))
    return await streaming.answer(request, services.responses.create(project, document, creation))


@router.get("/responses/{response_id}", operation_id="getResponse", responses=streams(ResponseAnswer))
async def retrieve_response(
    request: Request,
    services: CurrentServices,
    project: CurrentProject,
    response_id: str,
    stream: Annotated[
        bool, Query(description="Answer with the events that the response might have come in.")
    ] = False,
    starting_after: Annotated[
        int, Query(description="With `stream`: the number of the last event not wanted.")
    ] = -1,
) -> Response:
    """Retrieve a stored response."""
    if stream:
        events = services.responses.replay(project, response_id, after=starting_after)
        return await streaming.stream(request, events)
    return await streaming.answer(request, services.responses.get(project, response_id))


@router.delete("/responses/{response_id}", operation_id="deleteResponse", responses=answers(ResponseDeleted))
async def delete_response(
    request: Request, services: CurrentServices, project: CurrentProject, response_id: str
) -> Response:
    """Delete a stored response."""
    return await streaming.answer(request, services.responses.delete(project, response_id))


@router.post("/responses/{response_id}/cancel", operation_id="cancelResponse", responses=answers(ResponseAnswer))
async def cancel_response(
    request: Request, services: CurrentServices, project: CurrentProject, response_id: str
) -> Response:
    """Cancel a response that runs in the background."""
    return await streaming.answer(request, services.responses.cancel(project, response_id))


@router.get("/responses/{response_id}/input_items", operation_id="listInputItems", responses=answers(InputItemList))
def list_input_items(
    services: CurrentServices,
    project: CurrentProject,
    response_id: str,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "desc",
) -> Response:
    """List what a stored response answered, with all that it went on from."""
    page = PageRequest(limit=limit, after=after, order=order)
    return list_response(services.responses.input_items(project, response_id, page))
