"""One call on its way: attempts, pauses, and when to stop trying."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from regrade.core.errors import InvalidError, ModelError
from regrade.core.jsontext import dumps
from regrade.inference import failures
from regrade.inference.failures import Failure, Kind
from regrade.inference.lane import Lane
from regrade.inference.retry import Policy
from regrade.ports.models import ModelCall

_STALE_AGAIN = 2
_LEARNED_AGAIN = 4
_ROUNDS_BEFORE_CLOSING = 3

T = TypeVar("T")
Once = Callable[["Effort"], Awaitable[T | Failure]]
"""One attempt: what was wanted, or why it failed. aiohttp's errors and timeouts may simply escape."""


class Effort:
    """What is sent for a call, and what has been tried so far."""

    __slots__ = (
        "_answers_before", "_caller", "_counted", "_learned", "_stale",
        "api", "attempts", "body", "call", "first_sent_at", "lane", "payload", "secret", "sent_at", "tokens",
    )  # fmt: skip

    def __init__(self, call: ModelCall, lane: Lane, secret: str | None, caller: int) -> None:
        """Raises ModelError where the endpoint cannot be asked this at all."""
        self.call = call
        self.lane = lane
        self.secret = secret
        self.attempts = 0
        """Requests that went out."""
        self.sent_at = 0.0
        self.first_sent_at = 0.0
        self._caller = caller
        self._counted = 0
        self._stale = 0
        self._learned = 0
        self._answers_before = 0
        self._write()

    def _write(self) -> None:
        try:
            self.api, self.body = self.lane.dialect.request(self.call)
        except InvalidError as error:
            raise ModelError(error.message, status=400, code=error.code, param=error.param) from error
        self.payload = dumps({**self.body, "model": self.lane.model, **self.lane.told})
        self.tokens = self.lane.estimate(self.payload) if self.lane.limiter.counts_tokens else 0.0

    async def persist(self, once: Once[T], policy: Policy, jitter: Callable[[], float]) -> T:
        """Try until there is a result, which comes with the turn still held: `finish` gives it back.

        Raises ModelError where there will be none.
        """
        deadline = self.call.deadline_s
        last: Failure | None = None
        try:
            async with asyncio.timeout(deadline) as timeout:
                while True:
                    result = await self._attempt(once)
                    self.lane.meter.note(result, asyncio.get_running_loop().time() - self.sent_at, self.attempts)
                    if not isinstance(result, Failure):
                        return result
                    last = result
                    if self.attempts == 1 and deadline is None:
                        # Waiting for a turn is no trouble of the endpoint's, so the clock starts here.
                        timeout.reschedule(self.first_sent_at + self.lane.timeout_s + policy.patience_s)
                    pause = self._pause(result, policy, jitter)
                    if pause > 0:
                        await asyncio.sleep(pause)
        except TimeoutError:
            raise self._out_of_time(last) from None

    def finish(self, *, tokens: float | None = None) -> None:
        """Give the turn of a result back; `tokens` is what it has used."""
        lane, now = self.lane, asyncio.get_running_loop().time()
        more = lane.settle(self.payload, self.tokens, tokens) if tokens and lane.limiter.counts_tokens else 0.0
        lane.limiter.succeeded(self.sent_at, now, tokens=more)
        lane.limiter.release(self.call.project)

    async def _attempt(self, once: Once[T]) -> T | Failure:
        lane = self.lane
        await lane.limiter.acquire(self.tokens, self.call.urgency, self.call.project)
        held = False
        try:
            await lane.health.turn(persist=self.call.persist)
            self.attempts += 1
            self._answers_before = lane.health.answers
            self.sent_at = asyncio.get_running_loop().time()
            self.first_sent_at = self.first_sent_at or self.sent_at
            result = await once(self)
            held = not isinstance(result, Failure)
            if held:
                lane.health.answered()
                lane.budget.earn()
            return result
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return failures.of_exception(lane.endpoint.name, error, lane.timeout_s)
        finally:
            if not held:
                lane.limiter.release(self.call.project)

    def _pause(self, failure: Failure, policy: Policy, jitter: Callable[[], float]) -> float:
        """Seconds until the next attempt. Raises ModelError where there shall be none."""
        now = asyncio.get_running_loop().time()
        match failure.kind:
            case Kind.FINAL:
                return self._learn(failure)
            case Kind.STALE if self._stale < _STALE_AGAIN:
                self._stale += 1
                return 0.0
            case Kind.LIMITED:
                self._heed(failure, policy, jitter, now)
            case _:
                self.lane.health.failed(self._caller, failure, now)
                if failure.kind is not Kind.DOWN:
                    self.lane.limiter.failed(self.sent_at, now)
        health = self.lane.health
        # An endpoint that is down for everybody costs this call no attempt: it waits with the others.
        if not health.down or health.answers != self._answers_before:
            self._counted += 1
        if not self.call.persist or self._counted >= policy.attempts:
            raise failure.error()
        if health.down or failure.pause_s is not None:
            return 0.0  # the next turn comes when it may
        return max(policy.pause(self._counted, jitter()), self.lane.budget.wait(now))

    def _learn(self, failure: Failure) -> float:
        self.lane.health.answered()
        if self._learned >= _LEARNED_AGAIN or not self.lane.dialect.learn(
            failure, self.body, lenient=self.call.lenient
        ):
            raise failure.error()
        self._learned += 1
        self._write()
        return 0.0

    def _heed(self, failure: Failure, policy: Policy, jitter: Callable[[], float], now: float) -> None:
        """Slow down as the endpoint asks: for as long as it says, or longer each round."""
        self.lane.health.answered()
        limiter = self.lane.limiter
        rounds = limiter.refused(self.sent_at, now)
        if failure.pause_s is None:
            if rounds > _ROUNDS_BEFORE_CLOSING:
                limiter.close_until(now + policy.pause(rounds - _ROUNDS_BEFORE_CLOSING, jitter()))
        elif failure.pause_s > policy.patience_s:
            raise failure.error()
        else:
            limiter.close_until(now + failure.pause_s + jitter() * min(1.0, 0.1 * failure.pause_s))

    def _out_of_time(self, last: Failure | None) -> ModelError:
        if last is None:
            return ModelError(
                f"The endpoint '{self.lane.endpoint.name}' gave no answer within "
                f"{self.call.deadline_s or self.lane.timeout_s:g} seconds.",
                code="timeout",
            )
        return ModelError(f"{last.message} There was no time to try again.", status=last.status, code=last.code)
