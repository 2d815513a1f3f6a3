"""/embeddings."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.context import project as project_of
from regrade.api.context import services as services_of
from regrade.api.http import Document
from regrade.api.http import document as document_of
from regrade.api.openapi import answers, takes
from regrade.api.streaming import answer
from regrade.types.embeddings import CreateDeployedEmbedding, CreateEmbedding, EmbeddingList

router = APIRouter(tags=["Embeddings"])


@router.post(
    "/embeddings",
    operation_id="createEmbedding",
    responses=answers(EmbeddingList),
    openapi_extra=takes(CreateEmbedding),
)
async def create_embedding(request: Request) -> Response:
    """Ask a model for the embedding of each text."""
    project = await project_of(request)
    services = await services_of(request)
    return await answer(request, services.embeddings.create(project, await document_of(request)))


# Azure's clients name the model in the URL.
@router.post(
    "/deployments/{deployment:path}/embeddings",
    operation_id="createDeployedEmbedding",
    responses=answers(EmbeddingList),
    openapi_extra=takes(CreateDeployedEmbedding),
)
async def create_deployed_embedding(
    request: Request, services: CurrentServices, project: CurrentProject, deployment: str, document: Document
) -> Response:
    """Ask the model that is deployed under this name for the embedding of each text."""
    return await answer(request, services.embeddings.create(project, {**document, "model": deployment}))
