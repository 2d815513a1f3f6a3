"""How many requests a model gets at once: as many as it bears, below what this process may use of its limits."""

import asyncio
import math
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from types import MappingProxyType

from regrade.core.shares import Amounts, Limits
from regrade.inference.bucket import Bucket
from regrade.inference.latency import Latency

_FIRST_LIMIT = 32
_REFUSED_CUT = 0.7
_FAILED_CUT = 0.85
_LATENCY_CUT = 0.8
_GROWTH = 0.02  # a round, beside the one more
_NEVER_BELOW_FOR_LATENCY = 4
_LEARNING = 0.1
_NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


class _Project:
    """The calls of one project: those that wait, and what the others had."""

    __slots__ = ("in_flight", "most", "passed", "queue", "requests", "tokens", "waiting_tokens")

    def __init__(self) -> None:
        self.queue: list[tuple[int, int, asyncio.Future[None], float]] = []
        """A heap of (urgency, order of asking, turn, tokens)."""
        self.waiting_tokens = 0.0
        self.in_flight = 0
        self.passed = 0.0
        """What it was given, by its weight: who was given the least goes first."""
        self.most = 0
        self.requests = 0
        self.tokens = 0.0
        """The most at once, and what was spent, since `needs` was last asked for."""


class Limiter:
    """Turns for one model of one endpoint: projects by their weights, the most urgent first within each.

    Additive increase, multiplicative decrease: the limit doubles every round until the first sign of too much, then
    grows by little more than one a round. It is cut at each such sign: a 429, a failure of the server, answers that
    get much slower. Above it stands what the process was granted of what all processes may use together.
    """

    def __init__(self, limits: Limits, now: float, *, most: int | None = None) -> None:
        """Everything is granted for ever, until `grant` says otherwise; `most` turns at once are never exceeded."""
        self.limits = limits
        self._most = limits.turns if most is None else min(most, limits.turns)
        self._granted = limits.whole()
        self._blind = limits.whole()
        self._granted_until = math.inf
        self._on_short: Callable[[], None] | None = None
        self._told = 0
        self._needs_at = now
        self._weights = _NO_WEIGHTS
        self._ceiling = self._most
        self._limit = min(float(self._ceiling), float(_FIRST_LIMIT))
        self._doubling = True
        self._in_flight = 0
        self._queued = 0
        self._projects: dict[str, _Project] = {}
        self._passed = 0.0
        self._asked = 0
        self._call_tokens = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed_until = now
        self._cut_at = now
        self._refused_rounds = 0
        self._requests = Bucket(limits.requests, now) if limits.requests else None
        self._tokens = Bucket(limits.tokens, now) if limits.tokens else None
        self._latency = Latency()

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return min(int(self._limit), self._ceiling)

    @property
    def in_flight(self) -> int:
        """How many are."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """How many wait for their turn."""
        return self._queued

    @property
    def call_tokens(self) -> float:
        """About how many tokens a call takes, in coarse steps: all who share count with it, and it shall stand."""
        return 2.0 ** (math.ceil(4 * math.log2(self._call_tokens)) / 4) if self._call_tokens > 1 else 0.0

    @property
    def counts_tokens(self) -> bool:
        """Whether `acquire` wants an estimate of tokens."""
        return self._tokens is not None

    # -- turns ------------------------------------------------------------------------------------------

    async def acquire(self, tokens: float = 0.0, urgency: int = 0, project: str = "") -> None:
        """Wait for a turn of a request that will use about so many tokens; `release` gives it back.

        A smaller `urgency` goes before a larger one of the same project.
        """
        loop = asyncio.get_running_loop()
        asking = self._projects.get(project)
        if asking is None:
            asking = self._projects[project] = _Project()
        if not self._queued and self._admits(tokens, loop.time()) is None:
            self._give(asking, project, tokens)
            return
        if not asking.queue and not asking.in_flight:
            asking.passed = max(asking.passed, self._passed)  # nobody saves up turns while it needs none
        turn = loop.create_future()
        self._asked += 1
        heappush(asking.queue, (urgency, self._asked, turn, tokens))
        asking.waiting_tokens += tokens
        asking.most = max(asking.most, asking.in_flight + len(asking.queue))
        self._queued += 1
        self._pump()
        if self._on_short is not None and self._queued + self._in_flight > 2 * self._told:
            self._on_short()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(project)
            else:
                self._pump()  # what stood behind a cancelled one at the head may go
            raise

    def release(self, project: str = "") -> None:
        """End a turn."""
        self._in_flight -= 1
        self._projects[project].in_flight -= 1
        if self._queued:
            self._pump()

    def close_until(self, moment: float) -> None:
        """Give no turns before then."""
        self._closed_until = max(self._closed_until, moment)

    def _give(self, to: _Project, project: str, tokens: float) -> None:
        to.in_flight += 1
        to.most = max(to.most, to.in_flight + len(to.queue))
        to.requests += 1
        to.tokens += tokens
        if tokens:
            self._call_tokens += _LEARNING * (tokens - self._call_tokens)
        self._passed = to.passed
        to.passed += (tokens or 1.0) / self._weights.get(project, 1.0)

    def _admits(self, tokens: float, now: float) -> float | None:
        """Take a turn, or say for how many seconds there is none; infinity until a `release` or `grant` helps."""
        if now > self._granted_until:
            self._granted_until = math.inf
            self._use(self._blind, now)
        if self._in_flight >= self._ceiling or self._in_flight >= int(self._limit):
            return math.inf
        wait = self._closed_until - now
        if self._requests is not None:
            wait = max(wait, self._requests.wait(1.0, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(tokens, now))
        if wait > 0:
            return wait
        self._in_flight += 1
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is not None:
            self._tokens.take(tokens)
        return None

    def _pump(self) -> None:
        """Give turns to those that wait, as many as there are."""
        loop = asyncio.get_running_loop()
        while (name := self._next()) is not None:
            chosen = self._projects[name]
            _, _, turn, tokens = chosen.queue[0]
            wait = self._admits(tokens, loop.time())
            if wait is not None:
                if wait < math.inf:
                    self._pump_in(wait, loop)
                return
            self._leave_queue(chosen)
            self._give(chosen, name, tokens)
            turn.set_result(None)

    def _next(self) -> str | None:
        """Whose turn it is: who has the fewest for its weight where turns are short, else who was given least."""
        best, name = math.inf, None
        scarce = self._in_flight + 1 >= self.limit
        for each, project in self._projects.items():
            while project.queue and project.queue[0][2].done():  # cancelled while it waited
                self._leave_queue(project)
            if project.queue:
                had = project.in_flight / self._weights.get(each, 1.0) if scarce else project.passed
                if had < best:
                    best, name = had, each
        return name

    def _leave_queue(self, project: _Project) -> None:
        project.waiting_tokens -= heappop(project.queue)[3]
        self._queued -= 1

    def _pump_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._pump)

    # -- learning how much the endpoint bears -----------------------------------------------------------

    def succeeded(self, sent_at: float, now: float, *, tokens: float = 0.0) -> None:
        """Learn from an answer; `tokens` is by how much it cost more than was estimated."""
        self._refused_rounds = 0
        if self._tokens is not None and tokens:
            self._tokens.take(tokens)
        if self._limit < self._ceiling and self._in_flight + self._queued >= 0.8 * self._limit:
            more = 1.0 if self._doubling else 1.0 / self._limit + _GROWTH
            self._limit = min(float(self._ceiling), self._limit + more)
            self._pump()
        if self._latency.too_much(now - sent_at, self._limit):
            self._cut(sent_at, now, max(_NEVER_BELOW_FOR_LATENCY, self._limit * _LATENCY_CUT))

    def failed(self, sent_at: float, now: float) -> None:
        """Learn from a failure that may come from too much at once."""
        self._cut(sent_at, now, self._limit * _FAILED_CUT)

    def refused(self, sent_at: float, now: float) -> int:
        """Learn from a 429; how many rounds have been refused in a row, this one included."""
        if self._cut(sent_at, now, min(self._limit, max(1, self._ceiling)) * _REFUSED_CUT):
            self._refused_rounds += 1
        return self._refused_rounds

    def _cut(self, sent_at: float, now: float, limit: float) -> bool:
        """Once a round: what was sent before the last cut says nothing about the limit after it."""
        if sent_at < self._cut_at:
            return False
        self._doubling = False
        self._cut_at = now
        self._limit = max(1.0, min(self._limit, limit))
        return True

    # -- the part of this process -----------------------------------------------------------------------

    def share(self, on_short: Callable[[], None]) -> None:
        """`grant` says from now on what there is; `on_short` is told when calls need much more than `needs` did."""
        self._on_short = on_short

    def grant(
        self, granted: Amounts, until: float, blind: Amounts, weights: Mapping[str, float], now: float
    ) -> None:
        """What this process may use until then, and what after it, unless something is granted meanwhile."""
        self._blind, self._granted_until, self._weights = blind, until, weights
        if granted != self._granted:
            self._use(granted, now)
        self.look()

    def look(self) -> None:
        """Give the turns that can be given now."""
        if self._queued:
            self._pump()

    def _use(self, granted: Amounts, now: float) -> None:
        self._granted = granted
        self._ceiling = min(self._most, int(granted.turns))
        if self._requests is not None:
            self._requests.refill_at(granted.requests, now)
        if self._tokens is not None:
            self._tokens.refill_at(granted.tokens, now)

    def uses(self) -> Amounts:
        """What it may be using now, turns above a grant that was larger included."""
        return self._granted._replace(turns=max(float(self._ceiling), float(self._in_flight)))

    def needs(self, now: float) -> dict[str, Amounts]:
        """What each project's calls have needed since this was last asked for, which is about once a second."""
        seconds = max(0.1, now - self._needs_at)
        self._needs_at = now
        self._told = self._in_flight + self._queued
        # Turns that would not be used, because the endpoint bears no more, are better used by other processes.
        bears = min(self._most, 2 * self._limit + _NEVER_BELOW_FOR_LATENCY)
        part = min(1.0, bears / max(1, sum(each.most for each in self._projects.values())))
        needs: dict[str, Amounts] = {}
        for name, each in list(self._projects.items()):
            need = Amounts(
                each.most * part,
                (each.requests + len(each.queue)) / seconds,
                (each.tokens + max(0.0, each.waiting_tokens)) / seconds,
            )
            each.most, each.requests, each.tokens = each.in_flight + len(each.queue), 0, 0.0
            if any(need):
                needs[name] = need
            else:
                del self._projects[name]
        return needs
