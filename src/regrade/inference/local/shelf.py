"""Which models are in memory: loaded when asked for, put away when unused for long or when others need the room."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from regrade.core.errors import InvalidError
from regrade.core.local_models import Weights
from regrade.inference.local import weights as files
from regrade.inference.local.weights import Model
from regrade.types.json import JsonObject

_log = logging.getLogger(__name__)
_GIB = 1 << 30


class Shelf:
    """Belongs to the event loop. Requests for models that are not there wait in their order."""

    def __init__(self, *, memory: int, for_texts: int) -> None:
        """`memory` is how many bytes all models together may take, `for_texts` what the texts under way may."""
        self._memory = memory
        self._for_texts = for_texts
        self._models: dict[Weights, Model] = {}
        self._leaving: list[Model] = []
        """Put away, but still writing."""
        self._waiting: deque[_Wish] = deque()
        self._freed = asyncio.Event()
        self._fetcher: asyncio.Task[None] | None = None
        self._used_at = asyncio.get_running_loop().time()

    @property
    def idle_since(self) -> float:
        """Since when (the loop's time) nobody has used any model; now, while somebody does."""
        if self._waiting or any(model.users for model in self._models.values()):
            return asyncio.get_running_loop().time()
        return self._used_at

    @asynccontextmanager
    async def model(self, name: str, weights: Weights) -> AsyncIterator[Model]:
        """The model, which stays for the length of the block. Raises InvalidError where it cannot be run."""
        model = self._models.get(weights)
        # While others wait for room, nobody passes them: else they might wait for ever.
        if model is None or self._waiting:
            wish = _Wish(name, weights)
            self._waiting.append(wish)
            if self._fetcher is None or self._fetcher.done():
                self._fetcher = asyncio.create_task(self._fetch())
            try:
                model = await wish.granted
            except asyncio.CancelledError:
                if wish.granted.done() and not wish.granted.cancelled() and wish.granted.exception() is None:
                    self._give_back(wish.granted.result())
                raise
        else:
            model.users += 1
        try:
            yield model
        finally:
            self._give_back(model)

    def sweep(self, *, unused_s: float) -> None:
        """Put away what was unused for so long, and what has changed on disk or is gone."""
        now = asyncio.get_running_loop().time()
        for model in list(self._models.values()):
            unused = not model.users and now - model.used_at >= unused_s
            if unused or files.revision(model.weights) != model.revision:
                self._put_away(model)

    def status(self) -> list[JsonObject]:
        """The models in memory."""
        return [
            {"weights": weights.to_json(), "bytes": model.size, "users": model.users}
            for weights, model in self._models.items()
        ]

    def _give_back(self, model: Model) -> None:
        model.users -= 1
        model.used_at = self._used_at = asyncio.get_running_loop().time()
        self._freed.set()

    async def _fetch(self) -> None:
        """Grant wishes in their order, all those for the same model at once."""
        while self._waiting:
            first = self._waiting[0]
            try:
                model = self._models.get(first.weights) or await self._load(first.name, first.weights)
                self._grant(first.weights, model)
            except Exception as error:  # noqa: BLE001 - those who wait have to hear of it, whatever it is
                self._refuse(first.weights, error)

    def _grant(self, weights: Weights, model: Model) -> None:
        for wish in self._taken_out(weights):
            model.users += 1
            wish.granted.set_result(model)

    def _refuse(self, weights: Weights, error: Exception) -> None:
        for wish in self._taken_out(weights):
            wish.granted.set_exception(error)

    def _taken_out(self, weights: Weights) -> "list[_Wish]":
        wishes = [wish for wish in self._waiting if wish.weights == weights]
        self._waiting = deque(wish for wish in self._waiting if wish.weights != weights)
        return [wish for wish in wishes if not wish.granted.done()]

    async def _load(self, name: str, weights: Weights) -> Model:
        folder = await asyncio.to_thread(files.folder_of, name, weights)
        size = await asyncio.to_thread(files.size_of, folder)
        if size > self._memory:
            raise InvalidError(
                f"The model '{name}' takes {size / _GIB:.2f} GiB, and this server's models may take "
                f"{self._memory / _GIB:.2f} GiB. Its operator raises that with local_models_memory.",
                param="model",
                code="model_too_large",
            )
        await self._make_room(size)
        load = partial(files.load, name, weights, folder, memory=self._for_texts)
        model = await asyncio.to_thread(load)
        self._models[weights] = model
        _log.info("The model %s is loaded: %.2f GiB", name, model.size / _GIB)
        return model

    async def _make_room(self, size: int) -> None:
        while self._taken() + size > self._memory:
            unused = [model for model in self._models.values() if not model.users]
            if unused:
                self._put_away(min(unused, key=lambda model: model.used_at))
                continue
            self._freed.clear()
            await self._freed.wait()

    def _taken(self) -> int:
        self._leaving = [model for model in self._leaving if model.users]
        return sum(model.size for model in (*self._models.values(), *self._leaving))

    def _put_away(self, model: Model) -> None:
        del self._models[model.weights]
        self._leaving.append(model)
        _log.info("The model in %s is put away", model.weights.adapter or model.weights.path)


class _Wish:
    """Somebody waits for a model."""

    __slots__ = ("granted", "name", "weights")

    def __init__(self, name: str, weights: Weights) -> None:
        self.name = name
        self.weights = weights
        self.granted: asyncio.Future[Model] = asyncio.get_running_loop().create_future()
