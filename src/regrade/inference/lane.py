"""What is known of one model of one endpoint while it is asked: its turns, its dialect, its endpoint's health."""

import itertools
from collections.abc import Callable

from regrade.core.endpoints import APIS, Api, Endpoint, Route
from regrade.core.metrics import (
    ENDPOINT_DOWN,
    MODEL_IN_FLIGHT,
    MODEL_LIMIT,
    MODEL_WAITING,
    Labels,
    Metric,
    Metrics,
)
from regrade.core.shares import Limits
from regrade.inference.dialect import Dialect
from regrade.inference.health import Health
from regrade.inference.limiter import Limiter
from regrade.inference.meter import Meter
from regrade.inference.retry import Budget, Policy
from regrade.inference.shares import Shares
from regrade.ports.system import Clock
from regrade.types.json import JsonObject

_BYTES_PER_TOKEN = 4
_FIRST_GUESS = 256.0  # tokens of an answer, before there was one
_LEARNING = 0.1


class Upstream:
    """What all models of an endpoint share."""

    __slots__ = ("budget", "endpoint", "health")

    def __init__(self, endpoint: Endpoint, health: Health, budget: Budget) -> None:
        self.endpoint = endpoint
        self.health = health
        self.budget = budget


class Lane:
    """One model of one endpoint."""

    __slots__ = (
        "_answer_tokens",
        "adapter",
        "dialect",
        "endpoint",
        "limiter",
        "meter",
        "model",
        "timeout_s",
        "told",
        "upstream",
        "urls",
    )

    def __init__(
        self, route: Route, upstream: Upstream, limiter: Limiter, timeout_s: float, metrics: Metrics
    ) -> None:
        self.endpoint = route.endpoint
        self.model = route.model
        self.upstream = upstream
        self.limiter = limiter
        self.meter = Meter(metrics, route.endpoint.name, route.model)
        self.dialect = Dialect(route)
        self.timeout_s = timeout_s
        self.urls: dict[Api, str] = {api: route.endpoint.url(api, route.model) for api in APIS}
        self.told: JsonObject = (
            {"weights": route.weights.to_json()} if route.weights and route.endpoint.socket else {}
        )
        """What requests say beside what callers ask: where the built-in engine finds the model."""
        self.adapter = route.weights.adapter if route.weights and route.endpoint.kind == "vllm" else None
        """What the endpoint has to be told to load before it knows the model."""
        self._answer_tokens = _FIRST_GUESS

    @property
    def health(self) -> Health:
        """Whether the endpoint works."""
        return self.upstream.health

    @property
    def budget(self) -> Budget:
        """The repeats that the endpoint is asked to bear."""
        return self.upstream.budget

    def estimate(self, payload: bytes) -> float:
        """About how many tokens a request will use."""
        return len(payload) / _BYTES_PER_TOKEN + self._answer_tokens

    def settle(self, payload: bytes, estimate: float, used: float) -> float:
        """By how much a request cost more than was estimated before; learns the size of answers."""
        self._answer_tokens += _LEARNING * (max(0.0, used - len(payload) / _BYTES_PER_TOKEN) - self._answer_tokens)
        return used - estimate


class Lanes:
    """The lanes of one event loop; those of endpoints that are gone vanish once nobody uses them."""

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        now: Callable[[], float],
        metrics: Metrics | None = None,
        shares: Shares | None = None,
    ) -> None:
        """`shares` divides the endpoints' limits with other processes; without it this one has them to itself."""
        self._policy = policy
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._shares = shares
        self._now = now
        self._lanes: dict[Route, Lane] = {}
        self._upstreams: dict[Endpoint, Upstream] = {}
        self.callers = itertools.count()

    def get(self, route: Route) -> Lane:
        """The route's lane."""
        lane = self._lanes.get(route)
        if lane is None:
            endpoint = route.endpoint
            lane = self._lanes[route] = Lane(
                route,
                self._upstream(endpoint),
                self._limiter(route),
                endpoint.timeout_seconds or self._policy.timeout_s,
                self._metrics,
            )
        return lane

    def gauges(self) -> list[tuple[Metric, Labels, float]]:
        """How full the lanes are; from any thread."""
        found: list[tuple[Metric, Labels, float]] = []
        for lane in list(self._lanes.values()):
            labels, limiter = (lane.endpoint.name, lane.model), lane.limiter
            found += (
                (MODEL_LIMIT, labels, limiter.limit),
                (MODEL_IN_FLIGHT, labels, limiter.in_flight),
                (MODEL_WAITING, labels, limiter.queued),
            )
        for upstream in list(self._upstreams.values()):
            down = upstream.health.waiting_since is not None
            found.append((ENDPOINT_DOWN, (upstream.endpoint.name,), float(down)))
        return found

    def keep(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Forget idle lanes of other endpoints than these."""
        for route, lane in list(self._lanes.items()):
            if route.endpoint not in endpoints and not lane.limiter.in_flight and not lane.limiter.queued:
                del self._lanes[route]
        used = {route.endpoint for route in self._lanes}
        for endpoint in [each for each in self._upstreams if each not in used]:
            del self._upstreams[endpoint]

    def waiting(self) -> dict[str, int]:
        """Endpoints that are down while calls wait for them, and since when."""
        since = {upstream.endpoint.name: upstream.health.waiting_since for upstream in self._upstreams.values()}
        return {name: moment for name, moment in since.items() if moment is not None}

    def _upstream(self, endpoint: Endpoint) -> Upstream:
        if endpoint not in self._upstreams:
            self._upstreams[endpoint] = Upstream(endpoint, Health(self._policy, self._clock), Budget(self._now()))
        return self._upstreams[endpoint]

    def _limiter(self, route: Route) -> Limiter:
        limiter = Limiter(Limits.of(route.endpoint), self._now(), most=self._policy.most_at_once)
        # The built-in engine is this machine's alone.
        if self._shares is not None and route.endpoint.socket is None:
            self._shares.join(f"{route.endpoint.name} {route.model}", limiter)
        return limiter
