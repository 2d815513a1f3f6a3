"""Asking models: whichever endpoint serves them, whichever API that speaks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self

import aiohttp

from regrade.core import translation
from regrade.core.endpoints import Api, Endpoint
from regrade.core.errors import ConfigurationError, InvalidError, ModelError
from regrade.core.local_models import BaseModel
from regrade.core.metrics import Labels, Metric, Metrics
from regrade.inference import exchange, failures
from regrade.inference.cache import ResponseCache
from regrade.inference.dialect import Dialect
from regrade.inference.effort import Effort
from regrade.inference.exchange import Exchange
from regrade.inference.lane import Lane, Lanes
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.inference.shares import Shares
from regrade.ports.fleet import LimitLedger
from regrade.ports.models import ModelAnswer, ModelApi, ModelCall, ResponseAction, ServedModel
from regrade.ports.system import Clock
from regrade.ports.tracing import NoTraces, Tracing
from regrade.types.json import JsonObject


class Models:
    """ports.ModelPort over HTTP.

    `ask` and `stream` belong to the event loop in which `start` was awaited; the rest to any thread.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        policy: Policy | None = None,
        cache: ResponseCache | None = None,
        ledger: LimitLedger | None = None,
        process: str = "",
        gate: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`jitter` gives numbers in [0, 1).

        Where there is a `ledger`, what endpoints allow is shared with the other processes that use it; `process` is
        this one's name there, like no other's. `gate` is awaited before each request: whoever must hold still waits
        there.
        """
        self._registry = registry
        self._clock = clock
        self._jitter = jitter
        self._policy = policy or Policy()
        self._cache = cache
        self._ledger = ledger
        self._process = process
        self._gate = gate
        self._metrics = Metrics()
        self._tracing: Tracing = NoTraces()
        self._version = -1
        self._by_name: dict[str, Lane] = {}
        self._before: dict[str, Lane] = {}
        self._unloading: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lanes: Lanes | None = None
        self._exchange: Exchange | None = None
        self._shares: Shares | None = None
        self._sharing: asyncio.Task[None] | None = None

    def count_in(self, metrics: Metrics) -> None:
        """Count and measure there; to be called before `start`."""
        self._metrics = metrics
        metrics.ask(self._gauges)

    def trace_with(self, tracing: Tracing) -> None:
        """Tell there of every call; to be called before `start`."""
        self._tracing = tracing

    async def start(self) -> None:
        """Open the sessions, and begin to share limits."""
        self._loop = asyncio.get_running_loop()
        if self._ledger is not None:
            self._shares = Shares(self._ledger, self._process, lambda: self._registry.table().projects)
            self._sharing = asyncio.create_task(self._shares.run())
        self._lanes = Lanes(self._policy, self._clock, asyncio.get_running_loop().time, self._metrics, self._shares)
        self._exchange = Exchange(self._clock, self._policy.connect_timeout_s, self._gate)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that `ask` and `stream` belong to."""
        if self._loop is None:
            raise RuntimeError("Models.start() has not been awaited")
        return self._loop

    async def close(self) -> None:
        """Close every connection; calls under way end with an error."""
        if self._exchange is not None:
            await self._exchange.close()
        if self._shares is not None and self._sharing is not None:
            self._sharing.cancel()
            await self._shares.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- what there is ----------------------------------------------------------------------------------

    def served(self) -> list[ServedModel]:
        """Every model that can be asked for now, aliases included."""
        return self._registry.served()

    def endpoint(self, model: str, *, param: str = "model") -> Endpoint:
        """Which endpoint serves the model; InvalidError where none does."""
        return self._registry.require(model, param=param).endpoint

    def base_models(self) -> Sequence[BaseModel]:
        """The models of this server's disk that the configuration names."""
        return self._registry.base_models()

    def target(self, model: str) -> str:
        """The name behind an alias of the configuration; any other name is itself."""
        return self._registry.table().target(model)

    def check(self, model: str, api: ModelApi, body: JsonObject, *, param: str) -> None:
        """Raise InvalidError where no endpoint serves the model, or where that cannot do what `body` asks."""
        route = self._registry.require(model, param=param)
        try:
            self._registry.secret(route.endpoint)
            Dialect(route).request(ModelCall(api=api, model=model, body=body))
        except (ConfigurationError, InvalidError) as error:
            raise InvalidError(error.message, param=param) from error
        if body.get("tools") and not route.endpoint.tools:
            raise InvalidError(f"The endpoint '{route.endpoint.name}' takes no tools.", param=param)

    def waiting(self) -> dict[str, int]:
        """Endpoints that are down while calls wait for them, and since when (Unix seconds)."""
        return self._lanes.waiting() if self._lanes is not None else {}

    # -- asking -----------------------------------------------------------------------------------------

    async def ask(self, call: ModelCall) -> ModelAnswer:
        """The answer, after retries. Raises ModelError, in the upstream's own words, where there is none."""
        with self._tracing.call(call.model, call.api) as span:
            answer = await self._ask(call)
            span.note({"gen_ai.response.model": answer.model, "regrade.attempts": answer.attempts})
            return answer

    async def _ask(self, call: ModelCall) -> ModelAnswer:
        effort = await self._effort(call)
        started = asyncio.get_running_loop().time()
        key = self._cache.key(effort) if self._cache is not None and call.persist else None
        if self._cache is not None and key is not None:
            stored = await asyncio.to_thread(self._cache.get, key)
            if stored is not None:
                return self._answer(effort, stored, started, cached=True)
        document = await effort.persist(self._running.whole, self._policy, self._jitter)
        effort.finish(tokens=_tokens_used(document))
        await _next_request()
        answer = self._answer(effort, document, effort.first_sent_at)
        if self._cache is not None and key is not None:
            await asyncio.to_thread(self._cache.put, key, document)
        return answer

    async def stream(self, call: ModelCall) -> AsyncGenerator[bytes]:
        """The answer's server-sent events as they arrive; of an endpoint that speaks `call.api` itself."""
        effort = await self._effort(call)
        name = effort.lane.endpoint.name
        if effort.api != call.api:
            raise ModelError(f"The endpoint '{name}' speaks {effort.api}, so it cannot stream {call.api}.")
        reply = await effort.persist(self._running.streamed, self._policy, self._jitter)
        try:
            async with aclosing(exchange.events(reply)) as events:
                async for event in events:
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failures.of_exception(name, error, effort.lane.timeout_s).error() from error
        finally:
            reply.close()
            effort.finish()

    @property
    def _running(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("Models.start() has not been awaited in this event loop")
        return self._exchange

    async def find(self, model: str) -> Endpoint:
        """Which endpoint serves the model; ModelError where none does."""
        return (await self._lane(model)).endpoint

    async def manage(self, model: str, response_id: str, action: ResponseAction) -> JsonObject:
        """What the model's endpoint says of a response that it keeps itself."""
        effort = await self._effort(ModelCall(api="responses", model=model, body={}, persist=False))

        async def once(effort: Effort) -> JsonObject | failures.Failure:
            return await self._running.managed(effort, response_id, action)

        document = await effort.persist(once, self._policy, self._jitter)
        effort.finish()
        return document

    def _gauges(self) -> list[tuple[Metric, Labels, float]]:
        return self._lanes.gauges() if self._lanes is not None else []

    async def _lane(self, model: str) -> Lane:
        version = self._registry.version()
        if version != self._version:
            self._version = version
            self._before, self._by_name = self._by_name, {}
            self._all_lanes.keep(self._registry.table().endpoints)
            self._unload_adapters()
        return self._by_name.get(model) or await self._find(model)

    def _unload_adapters(self) -> None:
        """Let endpoints forget tuned models that are gone; nobody waits for that."""
        for endpoint, name in self._running.adapters.loaded:
            if not self._registry.is_tuned(name):
                task = asyncio.create_task(self._unload(endpoint, name))
                self._unloading.add(task)
                task.add_done_callback(self._unloading.discard)

    async def _unload(self, endpoint: Endpoint, name: str) -> None:
        with suppress(ConfigurationError):  # without its key the endpoint cannot be told
            await self._running.adapters.unload(endpoint, name, self._registry.secret(endpoint))

    async def _effort(self, call: ModelCall) -> Effort:
        lane = await self._lane(call.model)
        try:
            secret = self._registry.secret(lane.endpoint)
        except ConfigurationError as error:
            raise ModelError(error.message) from error
        return Effort(call, lane, secret, next(self._all_lanes.callers))

    @property
    def _all_lanes(self) -> Lanes:
        if self._lanes is None:
            raise RuntimeError("Models.start() has not been awaited in this event loop")
        return self._lanes

    async def _find(self, model: str) -> Lane:
        try:
            route = await asyncio.to_thread(self._registry.require, model, param="model")
        except InvalidError as error:
            # An upstream that is starting again may list less than it serves: what it did serve, it is asked for.
            lane = self._before.get(model)
            if lane is None or lane.adapter or lane.endpoint not in self._registry.table().endpoints:
                status = 404 if error.code == "model_not_found" else 400
                raise ModelError(error.message, status=status, code=error.code, param=error.param) from error
        else:
            lane = self._all_lanes.get(route)
        self._by_name[model] = lane
        return lane

    def _answer(self, effort: Effort, document: JsonObject, started: float, *, cached: bool = False) -> ModelAnswer:
        if effort.api != effort.call.api:
            document = _translated(effort, document)
        model = document.get("model")
        return ModelAnswer(
            body=document,
            model=model if isinstance(model, str) and model else effort.lane.model,
            seconds=asyncio.get_running_loop().time() - started,
            attempts=effort.attempts,
            cached=cached,
        )


async def _next_request() -> None:
    """Let the call that got the turn be written before this answer is worked on.

    Answers come in bursts. If all of a burst were graded before the first new request, the endpoint would stand
    idle meanwhile, and the next burst would be as dense. The other call wakes in the first round of the loop and
    writes in the second.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _translated(effort: Effort, document: JsonObject) -> JsonObject:
    spoken: Api = effort.api
    if spoken == "chat":
        return translation.chat_answer_to_responses(document, {**effort.call.body, "model": effort.call.model})
    return translation.responses_answer_to_chat(document)


def _tokens_used(document: JsonObject) -> float | None:
    usage = document.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return float(total) if isinstance(total, int | float) else None
