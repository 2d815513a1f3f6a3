"""Embeddings, passed on."""

from regrade.ports.models import ModelCall, ModelPort
from regrade.services.model_calls import model_of
from regrade.types.json import JsonObject


class Embeddings:
    """What the endpoint /embeddings means."""

    def __init__(self, models: ModelPort) -> None:
        self._models = models

    async def create(self, body: JsonObject) -> JsonObject:
        """Ask for embeddings. Raises ModelError."""
        model = model_of(body)
        request = {key: value for key, value in body.items() if key != "model"}
        answer = await self._models.ask(ModelCall(api="embeddings", model=model, body=request, persist=False))
        return answer.body
