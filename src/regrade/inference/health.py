"""Whether an endpoint works at all; calls wait here while it does not."""

import asyncio

from regrade.core.errors import ModelError
from regrade.inference.failures import Failure, Kind
from regrade.inference.retry import Policy
from regrade.ports.system import Clock

_SUSPECTS = 4
_LONGEST_GAP_S = 10.0
_QUIET_S = 5.0
_WITH_ERRORS = 0.1
"""The part of the patience that is for an endpoint which answers, but only with errors."""


class Health:
    """One endpoint: up, or down since a moment.

    It is down when it cannot be reached or says so (502, 503, 504), or when several calls failed and none was
    answered meanwhile. While it is down, one waiting call at a time tries; the first answer lets all go on.
    Once patience is over, calls fail at once; after a quiet moment, with no call at all, it gets another chance.

    One that answers every call with an error of its own, such as 500, is there: perhaps it restarts something
    behind it, but sooner or later the reason must be what it is asked. It is waited for a tenth as long; and after
    that, until there is an answer, its errors are those of the calls that meet them.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self.answers = 0
        """How many there were so far: a call that sees the number grow knows that the fault may be its own."""
        self._suspects: set[int] = set()
        self._down_since: float | None = None
        self._down_since_unix = 0
        self._silent = False
        """Whether, while it is down, a failure was more than an error in an answer."""
        self._errs = False
        """Whether it was waited for in vain while it answered with errors."""
        self._seen_at = 0.0
        self._last: Failure | None = None
        self._try_at = 0.0
        self._gap = policy.first_pause_s
        self._back = asyncio.Event()
        self._waiting = 0

    @property
    def down(self) -> bool:
        """Whether calls have to wait."""
        return self._down_since is not None

    @property
    def waiting_since(self) -> int | None:
        """Since when (Unix seconds) it is down, where calls wait for it."""
        return self._down_since_unix if self.down and self._waiting else None

    def answered(self) -> None:
        """The endpoint works: whatever it answered, it did."""
        self.answers += 1
        self._errs = False
        self._forget()

    def _forget(self) -> None:
        """It is up, as far as anybody knows."""
        if self._suspects:
            self._suspects.clear()
        if self._down_since is not None:
            self._down_since = None
            self._back.set()

    def failed(self, caller: int, failure: Failure, now: float) -> None:
        """A call (any number that tells calls apart) got no answer."""
        self._suspects.add(caller)
        silent = failure.kind is Kind.DOWN or failure.status is None
        its_own = len(self._suspects) < _SUSPECTS or (self._errs and not silent)
        if failure.kind is not Kind.DOWN and its_own and not self.down:
            return
        self._silent = silent or (self._silent and self.down)
        if self._down_since is None:
            self._down_since, self._down_since_unix = now, self._clock.now()
            self._gap = self._policy.first_pause_s
            self._try_at = now + self._gap
            self._back.clear()
        self._seen_at, self._last = now, failure

    async def turn(self, *, persist: bool) -> None:
        """Return when a call may try: at once while the endpoint is up, or where the call would not wait.

        Raises ModelError, with the last failure's words, when patience is over.
        """
        loop = asyncio.get_running_loop()
        if self.down and not self._waiting and loop.time() - self._seen_at > _QUIET_S:
            self._forget()
        while persist and self._down_since is not None:
            now = loop.time()
            if now >= self._try_at:
                self._gap = min(2 * self._gap, _LONGEST_GAP_S)
                self._try_at = now + self._gap
                return
            until = self._down_since + self._policy.patience_s * (1.0 if self._silent else _WITH_ERRORS)
            if now >= until:
                self._seen_at = now
                self._errs = not self._silent
                raise self._given_up(now)
            self._waiting += 1
            try:
                async with asyncio.timeout_at(min(self._try_at, until)):
                    await self._back.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting -= 1

    def _given_up(self, now: float) -> ModelError:
        last, since = self._last, self._down_since
        if last is None or since is None:
            raise AssertionError("an endpoint that is down has a failure")
        return ModelError(
            f"{last.message} It has been down for {now - since:.0f} seconds.", status=last.status, code=last.code
        )
