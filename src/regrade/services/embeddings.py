"""Embeddings, passed on."""

from regrade.ports.models import ModelCall, ModelPort
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.services.model_calls import model_of
from regrade.types.json import JsonObject


class Embeddings:
    """What the endpoint /embeddings means."""

    def __init__(self, models: ModelPort, tuned: FineTunedModels) -> None:
        self._models = models
        self._tuned = tuned

    async def create(self, project: str, body: JsonObject) -> JsonObject:
        """Ask for embeddings. Raises ModelError."""
        model = model_of(body)
        await self._tuned.check_call(project, model)
        request = {key: value for key, value in body.items() if key != "model"}
        asked = ModelCall(api="embeddings", model=model, body=request, project=project, persist=False)
        answer = await self._models.ask(asked)
        return answer.body
