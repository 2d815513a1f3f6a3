"""/models."""

from fastapi import APIRouter
from starlette.responses import Response

from regrade.api.context import CurrentProject, CurrentServices
from regrade.api.http import json_response
from regrade.api.openapi import answers
from regrade.types.models import Model, ModelDeleted, ModelList

router = APIRouter(tags=["Models"])


@router.get("/models", operation_id="listModels", responses=answers(ModelList))
def list_models(services: CurrentServices, project: CurrentProject) -> Response:
    """List models."""
    return json_response(services.models.list(project))


# Names may contain `/`, which clients send as %2F and which arrives here decoded.
@router.get("/models/{model:path}", operation_id="retrieveModel", responses=answers(Model))
def retrieve_model(services: CurrentServices, project: CurrentProject, model: str) -> Response:
    """Retrieve a model."""
    return json_response(services.models.get(project, model))


@router.delete("/models/{model:path}", operation_id="deleteModel", responses=answers(ModelDeleted))
def delete_model(services: CurrentServices, project: CurrentProject, model: str) -> Response:
    """Delete a fine-tuned model."""
    return json_response(services.models.delete(project, model))
