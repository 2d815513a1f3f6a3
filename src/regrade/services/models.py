"""The models that this server can ask, and the ones that it trained."""

from collections.abc import Sequence
from difflib import get_close_matches

from regrade.core.errors import ForbiddenError, NotFoundError
from regrade.types.json import JsonObject


class Models:
    """Read-only but for fine-tuned models: the operator's configuration says which there are."""

    def __init__(self, configured: Sequence[JsonObject] = ()) -> None:
        self._configured = {model["id"]: model for model in configured}

    def list(self) -> JsonObject:
        """Every model, as one list without pages."""
        return {"object": "list", "data": [*self._configured.values()]}

    def get(self, model_id: str) -> JsonObject:
        """One model by the name that bodies use for it."""
        model = self._configured.get(model_id)
        if model is None:
            near = " or ".join(f"'{name}'" for name in get_close_matches(model_id, self._configured))
            hint = f"Did you mean {near}?" if near else "GET /models lists those that do."
            raise NotFoundError(
                f"The model '{model_id}' does not exist. {hint}",
                param="model",
                code="model_not_found",
            )
        return model

    def delete(self, model_id: str) -> JsonObject:
        """Refused for every model that was not trained here."""
        model = self.get(model_id)
        raise ForbiddenError(
            f"The model '{model['id']}' is configured by the operator; only fine-tuned models can be deleted."
        )
