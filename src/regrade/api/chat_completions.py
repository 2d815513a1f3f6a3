"""/chat/completions."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.context import project as project_of
from regrade.api.context import services as services_of
from regrade.api.http import REQUEST_ID, Document, json_response
from regrade.api.http import document as document_of
from regrade.api.openapi import answers, streams, takes
from regrade.api.paging import DEFAULT_LIMIT, After, Limit, Order
from regrade.api.stored_objects import earlier, list_response, metadata_of
from regrade.api.streaming import answer, stream
from regrade.core.entities import PageRequest
from regrade.core.stored_objects import StoredFilter
from regrade.types.chat_completions import (
    ChatCompletion,
    ChatCompletionDeleted,
    ChatCompletionList,
    ChatMessageList,
    CreateChatCompletion,
    CreateDeployedChatCompletion,
    UpdateChatCompletion,
)
from regrade.types.json import JsonObject

router = APIRouter(tags=["Chat completions"])


@router.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    responses=streams(ChatCompletion),
    openapi_extra=takes(CreateChatCompletion),
)
async def create_chat_completion(request: Request) -> Response:
    """Ask a model."""
    return await _ask(request, await document_of(request))


# Azure's clients name the model in the URL.
@router.post(
    "/deployments/{deployment:path}/chat/completions",
    operation_id="createDeployedChatCompletion",
    responses=streams(ChatCompletion),
    openapi_extra=takes(CreateDeployedChatCompletion),
)
async def create_deployed_chat_completion(request: Request, deployment: str) -> Response:
    """Ask the model that is deployed under this name."""
    return await _ask(request, {**await document_of(request), "model": deployment})


@router.get("/chat/completions", operation_id="listChatCompletions", responses=answers(ChatCompletionList))
def list_chat_completions(
    request: Request,
    services: CurrentServices,
    project: CurrentProject,
    model: Annotated[str | None, Query(description="The name asked for, or answered with.")] = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "asc",
) -> Response:
    """List stored chat completions; `metadata[key]=value` takes those that have the pair."""
    page = PageRequest(limit=limit, after=after, order=order)
    wanted = StoredFilter(model=model, metadata=metadata_of(request))
    return list_response(services.chat_completions.stored.list(project, page, wanted))


@router.get(
    "/chat/completions/{completion_id}", operation_id="getChatCompletion", responses=answers(ChatCompletion)
)
def retrieve_chat_completion(services: CurrentServices, project: CurrentProject, completion_id: str) -> Response:
    """Retrieve a stored chat completion."""
    return json_response(services.chat_completions.stored.get(project, completion_id))


@router.post(
    "/chat/completions/{completion_id}",
    operation_id="updateChatCompletion",
    responses=answers(ChatCompletion),
    openapi_extra=takes(UpdateChatCompletion),
)
def update_chat_completion(
    services: CurrentServices, project: CurrentProject, completion_id: str, document: Document
) -> Response:
    """Replace the metadata of a stored chat completion."""
    return json_response(services.chat_completions.stored.update(project, completion_id, document))


@router.delete(
    "/chat/completions/{completion_id}",
    operation_id="deleteChatCompletion",
    responses=answers(ChatCompletionDeleted),
)
def delete_chat_completion(services: CurrentServices, project: CurrentProject, completion_id: str) -> Response:
    """Delete a stored chat completion."""
    return json_response(services.chat_completions.delete(project, completion_id))


@router.get(
    "/chat/completions/{completion_id}/messages",
    operation_id="getChatCompletionMessages",
    responses=answers(ChatMessageList),
)
def list_messages(
    services: CurrentServices,
    project: CurrentProject,
    completion_id: str,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "asc",
) -> Response:
    """List the messages that a stored chat completion answered."""
    page = PageRequest(limit=limit, after=after, order=order)
    return list_response(services.chat_completions.messages(project, completion_id, page))


async def _ask(request: Request, document: JsonObject) -> Response:
    project, services = await project_of(request), await services_of(request)
    request_id = request.scope[REQUEST_ID]
    creation = None
    if document.get("store"):
        creation, made = await earlier(request, services, project, services.chat_completions.stored.get)
        if made is not None and not document.get("stream"):
            return json_response(made)
    if document.get("stream"):
        return await stream(request, services.chat_completions.stream(project, document, request_id, creation))
    return await answer(request, services.chat_completions.create(project, document, request_id, creation))
