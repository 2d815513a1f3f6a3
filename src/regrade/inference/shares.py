"""This process's part of what endpoints allow: told to the others, and granted to the limiters, every second.

No call waits for the database, but the first ones of a model that was not asked for a while.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from regrade.core.shares import NOTHING, Amounts, Claim, Limits, Settlement, settle
from regrade.inference.limiter import Limiter
from regrade.ports.fleet import LimitLedger
from regrade.types.json import JsonObject

_log = logging.getLogger(__name__)

_PAUSE_S = 1.0
_PAUSE_A_PAIR_S = 5e-5
"""Added for each pair of processes: what each says is read by each, and one at a time."""
_SHORT_PAUSE_S = 0.1
_LASTS_PAUSES = 6
"""What was told counts for so many pauses: after that a process that was killed is forgotten."""
_TRUSTED = 0.7
"""For which part of that time a process trusts what it was granted itself."""
_IDLE_S = 30.0
"""How long a model that nobody asks keeps its small part."""
_FAREWELL_S = 2.0


@dataclass(slots=True)
class _Lane:
    """One model of one endpoint."""

    limiters: list[Limiter] = field(default_factory=list)
    """The last one is the one in force; calls begun before its endpoint's settings were changed have older ones."""
    part: Amounts = NOTHING
    due: Amounts = NOTHING
    held: Amounts = NOTHING
    used_at: float = 0.0
    active: bool = False

    @property
    def limits(self) -> Limits:
        """Those in force."""
        return self.limiters[-1].limits

    @property
    def unsettled(self) -> bool:
        """Whether this process has something to give back, or calls that wait for what others have to."""
        return self.held != self.part or (self.part != self.due and any(each.queued for each in self.limiters))

    def claim(self, now: float) -> Claim:
        """What is told to the others; `held` is what may be in use."""
        needs: dict[str, Amounts] = {}
        for limiter in self.limiters:
            for project, need in limiter.needs(now).items():
                needs[project] = _sum(needs.get(project, NOTHING), need)
        if needs:
            self.used_at = now
        return Claim(
            needs=needs,
            held=_sum(*(limiter.uses() for limiter in self.limiters)),
            call_tokens=max(limiter.call_tokens for limiter in self.limiters),
        )

    def grant(self, part: Amounts, until: float, blind: Amounts, weights: Mapping[str, float], now: float) -> None:
        """Older limiters have what they need, until nobody uses them any more."""
        self.part = part
        for limiter in self.limiters[:-1]:
            if not limiter.in_flight and not limiter.queued:
                self.limiters.remove(limiter)
                continue
            turns = min(part.turns, limiter.in_flight + limiter.queued)
            of_rates = turns / part.turns if part.turns else 0.0
            own = Amounts(turns, part.requests * of_rates, part.tokens * of_rates)
            limiter.grant(own, until, blind, weights, now)
            part = Amounts(*(whole - taken for whole, taken in zip(part, own, strict=True)))
        self.limiters[-1].grant(part, until, blind, weights, now)


class Shares:
    """Shares the limits of endpoints with the other processes. Belongs to one event loop."""

    def __init__(self, ledger: LimitLedger, process: str, weights: Callable[[], Mapping[str, float]]) -> None:
        """`process` is a name like no other's, `weights` the projects' as they are now."""
        self._ledger = ledger
        self._process = process
        self._weights = weights
        self._lanes: dict[str, _Lane] = {}
        self._short = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")
        self._processes = 1
        self._short_pauses = 0
        self._exchanged_at = 0.0
        self._told = False
        self._trouble = False

    def join(self, name: str, limiter: Limiter) -> None:
        """From now on the limiter has what is granted to this process for the lane of this name."""
        limiter.share(lambda: self._heed(name, limiter))
        limiter.grant(NOTHING, float("inf"), NOTHING, {}, asyncio.get_running_loop().time())
        self._lanes.setdefault(name, _Lane()).limiters.append(limiter)

    async def run(self) -> None:
        """Exchange with the others for as long as there is something to say. Never ends."""
        while True:
            await self._pause()
            await self._exchange()

    async def close(self) -> None:
        """Leave all parts to the others."""
        with suppress(Exception):  # they find out by themselves, only later
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.leave, self._process)
            await asyncio.wait_for(work, _FAREWELL_S)
        self._thread.shutdown(wait=False)

    def _heed(self, name: str, limiter: Limiter) -> None:
        """Calls need more than was told to the others."""
        lane = self._lanes.setdefault(name, _Lane())
        if limiter not in lane.limiters:  # a call begun long ago tries again
            lane.limiters.insert(0, limiter)
        if not lane.active:
            now = asyncio.get_running_loop().time()
            lane.active, lane.used_at = True, now
            lane.grant(NOTHING, now + self._trusted_s(), self._blind(limiter.limits), {}, now)
        self._short.set()

    async def _pause(self) -> None:
        seconds: float | None = None
        if any(lane.unsettled for lane in self._lanes.values()):
            seconds = min(self._pause_s(), _SHORT_PAUSE_S * 2**self._short_pauses)
            self._short_pauses += 1
        elif self._told or any(lane.active for lane in self._lanes.values()):
            seconds, self._short_pauses = self._pause_s(), 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._short.wait()
        self._short.clear()
        await asyncio.sleep(self._exchanged_at + _SHORT_PAUSE_S - asyncio.get_running_loop().time())

    async def _exchange(self) -> None:
        loop = asyncio.get_running_loop()
        self._exchanged_at = now = loop.time()
        claims = {name: lane.claim(now) for name, lane in self._lanes.items() if lane.active}
        for name in [each for each in claims if now - self._lanes[each].used_at > _IDLE_S]:
            del claims[name]
            self._lanes.pop(name).grant(NOTHING, float("inf"), NOTHING, {}, now)
        limits = {name: self._lanes[name].limits for name in claims}
        weights = self._weights()
        work = loop.run_in_executor(self._thread, self._tell, claims, limits, weights)
        while not (await asyncio.wait({work}, timeout=self._pause_s()))[0]:
            self._look()
        error = work.exception()
        if error is not None:
            self._note(error)
            self._look()
            return
        self._note(None)
        for name, settled in work.result().items():
            lane = self._lanes[name]
            lane.due, lane.held = settled.due, settled.claim.held
            lane.grant(settled.part, now + self._trusted_s(), self._blind(lane.limits), weights, loop.time())

    def _tell(
        self, claims: Mapping[str, Claim], limits: Mapping[str, Limits], weights: Mapping[str, float]
    ) -> Mapping[str, Settlement]:
        """Tell the others, and learn what they say. In a thread of its own."""
        settled: dict[str, Settlement] = {}

        def tell(others: Mapping[str, JsonObject], now: float) -> JsonObject:
            self._processes = len(others) + 1
            for name, claim in claims.items():
                theirs = {process: Claim.from_json(said[name]) for process, said in others.items() if name in said}
                settled[name] = settle(self._process, claim, theirs, limits[name], weights, now)
            return {name: each.claim.as_json() for name, each in settled.items()}

        if claims:
            self._ledger.exchange(self._process, tell, lasts_s=_LASTS_PAUSES * self._pause_s())
        elif self._told:
            self._ledger.leave(self._process)
        self._told = bool(claims)
        return settled

    def _look(self) -> None:
        """What was granted may have ended: what may be used then is."""
        for lane in self._lanes.values():
            for limiter in lane.limiters:
                limiter.look()

    def _note(self, error: BaseException | None) -> None:
        """Say once that there is trouble, and once that it is over."""
        if error is not None and not self._trouble:
            _log.warning(
                "The other processes could not be told what this one uses of the models' limits (%s). It keeps its "
                "part for %.0f seconds and then goes on with a small one, until the database is there again.",
                error,
                self._trusted_s(),
            )
        elif error is None and self._trouble:
            _log.info("The processes share the models' limits again.")
        self._trouble = error is not None

    def _pause_s(self) -> float:
        return _PAUSE_S + _PAUSE_A_PAIR_S * (self._processes - 1) ** 2

    def _trusted_s(self) -> float:
        return _TRUSTED * _LASTS_PAUSES * self._pause_s()

    def _blind(self, limits: Limits) -> Amounts:
        return limits.blind(self._processes)


def _sum(*amounts: Amounts) -> Amounts:
    return Amounts(*(sum(each) for each in zip(*amounts, strict=True)))
