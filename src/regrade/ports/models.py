"""Asking models, whichever endpoint serves them."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from regrade.core.endpoints import Api, Endpoint
from regrade.core.local_models import BaseModel, Weights
from regrade.types.json import JsonObject

ModelApi = Api
ResponseAction = Literal["retrieve", "cancel", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a model, in the form of the API that it names."""

    api: ModelApi
    model: str
    """The name asked for; aliases and patterns of the registry say which endpoint serves it."""
    body: JsonObject
    """The request without `model`; translated, as is the answer, where the endpoint does not speak `api`."""
    repetition: int = 0
    """Tells equal requests apart that are asked again on purpose; part of the cache's key."""
    project: str = "default"
    """Whose call it is: where calls wait for their turn, projects have theirs by their shares."""
    urgency: int = 0
    """Smaller goes first where a project's calls wait for their turn."""
    persist: bool = True
    """Try again, wait for an endpoint that is down, use the cache. False for callers who want an answer of now."""
    lenient: bool = False
    """Leave out sampling parameters that the model says it does not take, such as temperature."""
    deadline_s: float | None = None
    """Seconds for everything; without it, the server's patience and one attempt's timeout together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What a model answered, in the form of the API that was asked for."""

    body: JsonObject
    model: str
    """The name that the endpoint answered with."""
    seconds: float
    """From the first attempt to the answer."""
    attempts: int
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A name that can be asked for."""

    name: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """A model that was trained here, or a checkpoint of one."""

    name: str
    base: str
    """The name of the base model that it comes from, through however many trainings."""
    weights: Weights


class TunedModels(Protocol):
    """The models that were trained here and can be asked now, of every project. Any thread may ask."""

    def version(self) -> int:
        """Another number after every change of `all`. Asked about once a second while models are asked."""
        ...

    def all(self) -> Sequence[TunedModel]:
        """Every model and checkpoint whose folder is there; who may ask for which is the services' affair."""
        ...


class ModelPort(Protocol):
    """Asking models, whichever endpoint serves them."""

    def served(self) -> list[ServedModel]:
        """Every model that can be asked for now, aliases included."""
        ...

    def endpoint(self, model: str, *, param: str = "model") -> Endpoint:
        """Which endpoint serves the model, and what that can do.

        Raises InvalidError (code `model_not_found`, close names in the message) where none does. May wait some
        seconds for upstreams' lists: not for event loops.
        """
        ...

    def base_models(self) -> Sequence[BaseModel]:
        """The `[[base_models]]` of the configuration as they are now: what can be trained, and asked too."""
        ...

    def target(self, model: str) -> str:
        """The name behind an alias of the configuration; any other name is itself."""
        ...

    async def find(self, model: str) -> Endpoint:
        """As `endpoint`, for event loops. Raises ModelError (status 404) where none serves it."""
        ...

    async def manage(self, model: str, response_id: str, action: ResponseAction) -> JsonObject:
        """What the model's endpoint answers about a response that it keeps itself, such as a background one's.

        Raises ModelError.
        """
        ...

    def check(self, model: str, api: ModelApi, body: JsonObject, *, param: str) -> None:
        """Raise InvalidError where no endpoint serves the model, or where that cannot do what `body` asks.

        For example a tool kind that it lacks. `param` is the model's field.
        """
        ...

    async def ask(self, call: ModelCall) -> ModelAnswer:
        """The answer, after retries. Raises ModelError, in the upstream's own words, where there is none."""
        ...

    def stream(self, call: ModelCall) -> AsyncGenerator[bytes]:
        """The answer's server-sent events as they arrive, each whole; of an endpoint that speaks `call.api` itself.

        Closing the iterator closes the request. Raises ModelError, also in mid-stream.
        """
        ...

    def waiting(self) -> dict[str, int]:
        """Endpoints that are down while calls wait for them, and since when (Unix seconds)."""
        ...
