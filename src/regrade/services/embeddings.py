"""Embeddings, passed on."""

from regrade.ports.models import ModelCall, ModelPort
from regrade.services.model_calls import model_of
from regrade.types.json import JsonObject


class Embeddings:
    """What the endpoint /embeddings means."""

    def __init__(self, models: ModelPort) -> None:
        self._models = models

    async def create(self, project: str, body: JsonObject) -> JsonObject:
        """Ask for embeddings. Raises ModelError."""
        model = model_of(body)
        request = {key: value for key, value in body.items() if key != "model"}
        asked = ModelCall(api="embeddings", model=model, body=request, project=project, persist=False)
        answer = await self._models.ask(asked)
        return answer.body
