"""/fine_tuning/checkpoints: who may use what was trained. For admins."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from regrade.api.context import CurrentServices, admin
from regrade.api.fine_tuning import with_ends
from regrade.api.http import Document, json_response
from regrade.api.openapi import answers, takes
from regrade.api.paging import After, Limit
from regrade.core.entities import Page, PageRequest
from regrade.types.fine_tuning import (
    CheckpointPermissionDeleted,
    CheckpointPermissionList,
    CreateCheckpointPermissions,
)

# Names of models may contain `/`, which arrives decoded.
router = APIRouter(
    tags=["Fine-tuning"],
    prefix="/fine_tuning/checkpoints/{checkpoint:path}/permissions",
    dependencies=[Depends(admin)],
)

_PERMISSIONS = 10


@router.post(
    "",
    operation_id="createFineTuningCheckpointPermission",
    responses=answers(CheckpointPermissionList),
    openapi_extra=takes(CreateCheckpointPermissions),
)
def create_permissions(services: CurrentServices, checkpoint: str, document: Document) -> Response:
    """Let other projects use a tuned model or checkpoint."""
    made = services.checkpoint_permissions.create(checkpoint, document)
    return json_response(with_ends(Page(data=made, has_more=False)))


@router.get("", operation_id="listFineTuningCheckpointPermissions", responses=answers(CheckpointPermissionList))
def list_permissions(
    services: CurrentServices,
    checkpoint: str,
    after: After = None,
    limit: Limit = _PERMISSIONS,
    order: Annotated[Literal["ascending", "descending"], Query(description="By time of creation.")] = "descending",
    project_id: Annotated[str | None, Query(description="Only the permission of this project.")] = None,
) -> Response:
    """List which projects may use a tuned model or checkpoint."""
    page = PageRequest(limit=limit, after=after, order="asc" if order == "ascending" else "desc")
    return json_response(with_ends(services.checkpoint_permissions.list(checkpoint, page, project_id)))


@router.delete(
    "/{permission_id}",
    operation_id="deleteFineTuningCheckpointPermission",
    responses=answers(CheckpointPermissionDeleted),
)
def delete_permission(services: CurrentServices, checkpoint: str, permission_id: str) -> Response:
    """Take a permission back."""
    return json_response(services.checkpoint_permissions.delete(checkpoint, permission_id))
