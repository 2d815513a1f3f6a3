"""The models that this server can ask, and the ones that it trained."""

from regrade.core.errors import ForbiddenError, InvalidError, NotFoundError
from regrade.ports.models import ModelPort
from regrade.types.json import JsonObject


class Models:
    """Read-only but for fine-tuned models: the operator's configuration says which there are."""

    def __init__(self, models: ModelPort) -> None:
        self._models = models

    def list(self) -> JsonObject:
        """Every model, as one list without pages."""
        return {"object": "list", "data": [_document(each.name, each.endpoint) for each in self._models.served()]}

    def get(self, model_id: str) -> JsonObject:
        """One model by the name that bodies use for it, also one that a pattern takes without listing it."""
        try:
            return _document(model_id, self._models.endpoint(model_id).name)
        except InvalidError as error:
            raise NotFoundError(error.message, param=error.param, code=error.code) from error

    def delete(self, model_id: str) -> JsonObject:
        """Refused for every model that was not trained here."""
        model = self.get(model_id)
        raise ForbiddenError(
            f"The model '{model['id']}' is configured by the operator; only fine-tuned models can be deleted."
        )


def _document(name: str, endpoint: str) -> JsonObject:
    """When a model was made is the upstream's affair, and not every upstream knows."""
    return {"id": name, "object": "model", "created": 0, "owned_by": endpoint, "shutdown_date": None}
