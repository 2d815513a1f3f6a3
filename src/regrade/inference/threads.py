"""Asking models from threads that have event loops of their own, by way of the loop that has the connections."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from regrade.core.endpoints import Endpoint
from regrade.core.local_models import BaseModel
from regrade.inference.client import Models
from regrade.ports.models import ModelAnswer, ModelApi, ModelCall, ResponseAction, ServedModel
from regrade.types.json import JsonObject

T = TypeVar("T")


class ModelsFromThreads:
    """ports.ModelPort, but for streams, for any event loop; cancelling a call here cancels it there."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.stream: Callable[[ModelCall], AsyncGenerator[bytes]] = models.stream

    def served(self) -> list[ServedModel]:
        """See ports.ModelPort."""
        return self._models.served()

    def endpoint(self, model: str, *, param: str = "model") -> Endpoint:
        """See ports.ModelPort."""
        return self._models.endpoint(model, param=param)

    def base_models(self) -> Sequence[BaseModel]:
        """See ports.ModelPort."""
        return self._models.base_models()

    def target(self, model: str) -> str:
        """See ports.ModelPort."""
        return self._models.target(model)

    def check(self, model: str, api: ModelApi, body: JsonObject, *, param: str) -> None:
        """See ports.ModelPort."""
        self._models.check(model, api, body, param=param)

    def waiting(self) -> dict[str, int]:
        """See ports.ModelPort."""
        return self._models.waiting()

    async def find(self, model: str) -> Endpoint:
        """See ports.ModelPort."""
        return await self._there(self._models.find(model))

    async def manage(self, model: str, response_id: str, action: ResponseAction) -> JsonObject:
        """See ports.ModelPort."""
        return await self._there(self._models.manage(model, response_id, action))

    async def ask(self, call: ModelCall) -> ModelAnswer:
        """See ports.ModelPort."""
        return await self._there(self._models.ask(call))

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._models.loop()))
