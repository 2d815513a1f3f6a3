"""Checkpoint permissions: which other projects may use a tuned model or a checkpoint of one."""

from regrade.core.entities import CheckpointPermission, FineTunedModel, Page, PageRequest
from regrade.core.errors import NotFoundError
from regrade.core.parsing import parse
from regrade.ports.fine_tuning import FineTunedModelStore
from regrade.ports.system import Clock, Ids
from regrade.types.fine_tuning import CreateCheckpointPermissions
from regrade.types.json import JsonObject


class CheckpointPermissions:
    """What the endpoints under /fine_tuning/checkpoints mean; they are for admins, who see every project."""

    def __init__(self, store: FineTunedModelStore, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock

    def create(self, checkpoint: str, document: JsonObject) -> list[JsonObject]:
        """Let projects use the model; one that may already keeps its permission."""
        model = self._find(checkpoint)
        request = parse(CreateCheckpointPermissions, document)
        now = self._clock.now()
        wanted = [
            CheckpointPermission(
                id=self._ids.new("permission"), model=model.name, project_id=project_id, created_at=now
            )
            for project_id in dict.fromkeys(request.project_ids)
        ]
        return [_document(permission) for permission in self._store.permit(wanted)]

    def list(self, checkpoint: str, page: PageRequest, project_id: str | None) -> Page[JsonObject]:
        """One page of a model's permissions."""
        found = self._store.permissions(self._find(checkpoint).name, page, project_id=project_id)
        return Page(data=[_document(permission) for permission in found.data], has_more=found.has_more)

    def delete(self, checkpoint: str, permission_id: str) -> JsonObject:
        """Take a permission back; from now on the model does not exist for that project."""
        if not self._store.forbid(self._find(checkpoint).name, permission_id, now=self._clock.now()):
            raise NotFoundError(f"No checkpoint permission found with id '{permission_id}'.", param="permission_id")
        return {"id": permission_id, "object": "checkpoint.permission", "deleted": True}

    def _find(self, checkpoint: str) -> FineTunedModel:
        model = self._store.get(checkpoint)
        if model is None:
            raise NotFoundError(
                f"No fine-tuned model or checkpoint found with the name '{checkpoint}'.",
                param="fine_tuned_model_checkpoint",
            )
        return model


def _document(permission: CheckpointPermission) -> JsonObject:
    return {
        "object": "checkpoint.permission",
        "id": permission.id,
        "created_at": permission.created_at,
        "project_id": permission.project_id,
    }
