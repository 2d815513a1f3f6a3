"""The models that this server can ask, and the ones that it trained."""

from regrade.core.errors import ForbiddenError, InvalidError, NotFoundError
from regrade.ports.models import ModelPort
from regrade.services.fine_tuned_models import FineTunedModels, is_tuned, model_document
from regrade.types.json import JsonObject

_BASE = "base model"
"""Who owns what lies on this server's disk and was not trained here."""


class Models:
    """Read-only but for fine-tuned models: the operator's configuration says which there are."""

    def __init__(self, models: ModelPort, tuned: FineTunedModels) -> None:
        self._models = models
        self._tuned = tuned

    def list(self, project: str) -> JsonObject:
        """Every model that the project may use, as one list without pages."""
        served = [each for each in self._models.served() if not is_tuned(each.name)]
        bases = {base.name: _BASE for base in self._models.base_models()}
        names = {**bases, **{each.name: each.endpoint for each in served}}
        own = [_document(name, endpoint) for name, endpoint in names.items()]
        return {"object": "list", "data": [*own, *self._tuned.visible(project)]}

    def get(self, project: str, model_id: str) -> JsonObject:
        """One model by the name that bodies use for it, also one that a pattern takes without listing it."""
        tuned = self._tuned.find(project, model_id)
        if tuned is not None:
            return model_document(tuned)
        if model_id in {base.name for base in self._models.base_models()}:
            return _document(model_id, _BASE)
        try:
            self._tuned.check(project, model_id, param="model")
            return _document(model_id, self._models.endpoint(model_id).name)
        except InvalidError as error:
            raise NotFoundError(error.message, param=error.param, code=error.code) from error

    def delete(self, project: str, model_id: str) -> JsonObject:
        """Delete a tuned model of the project; refused for every model that was not trained here."""
        if self._tuned.delete(project, model_id):
            return {"id": model_id, "object": "model", "deleted": True}
        model = self.get(project, model_id)
        if is_tuned(model_id):
            raise ForbiddenError(f"The model '{model['id']}' belongs to the project '{model['owned_by']}'.")
        raise ForbiddenError(
            f"The model '{model['id']}' is configured by the operator; only fine-tuned models can be deleted."
        )


def _document(name: str, endpoint: str) -> JsonObject:
    """When a model was made is the upstream's affair, and not every upstream knows."""
    return {"id": name, "object": "model", "created": 0, "owned_by": endpoint, "shutdown_date": None}
