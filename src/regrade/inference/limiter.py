"""How many requests a model gets at once: as many as it bears, below what the operator allows."""

import asyncio
from heapq import heappop, heappush

_FIRST_LIMIT = 32
_REFUSED_CUT = 0.7
_FAILED_CUT = 0.85
_LATENCY_CUT = 0.8
_GROWTH = 0.02  # a round, beside the one more
_SLOW_S = 1.0  # answers faster than this never slow us down
_SLOW_FACTOR = 3.0  # how much slower than usual means that there are too many at once
_NEVER_BELOW_FOR_LATENCY = 4
_WINDOW = 16
_BURST_S = 5.0  # budgets per minute are spent in bursts of at most so many seconds' worth


class Bucket:
    """A budget a minute, spent evenly but for short bursts."""

    __slots__ = ("_at", "_capacity", "_level", "_rate")

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._capacity = self._level = max(1.0, self._rate * _BURST_S)
        self._at = now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; one larger than a whole burst needs a full bucket."""
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        missing = min(amount, self._capacity) - self._level
        return missing / self._rate if missing > 1e-9 else 0.0  # noqa: PLR2004 - what floats lose

    def take(self, amount: float) -> None:
        """Spend; a negative amount gives back."""
        self._level -= amount


class Limiter:
    """Turns for one model of one endpoint: the most urgent first, among equals in the order of asking.

    Additive increase, multiplicative decrease: the limit doubles every round until the first sign of too much, then
    grows by little more than one a round. It is cut at each such sign: a 429, a failure of the server, answers that
    get much slower.
    """

    def __init__(
        self, *, ceiling: int, requests_per_minute: float | None, tokens_per_minute: float | None, now: float
    ) -> None:
        self._ceiling = float(max(1, ceiling))
        self._limit = min(self._ceiling, float(_FIRST_LIMIT))
        self._doubling = True
        self._in_flight = 0
        self._queue: list[tuple[int, int, asyncio.Future[None], float]] = []
        """A heap of (urgency, order of asking, turn, tokens)."""
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed_until = now
        self._cut_at = now
        self._refused_rounds = 0
        self._requests = Bucket(requests_per_minute, now) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, now) if tokens_per_minute else None
        self._latency = _Latency()

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """How many are."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @property
    def counts_tokens(self) -> bool:
        """Whether `acquire` wants an estimate of tokens."""
        return self._tokens is not None

    async def acquire(self, tokens: float = 0.0, urgency: int = 0) -> None:
        """Wait for a turn of a request that will use about so many tokens; `release` gives it back.

        A smaller `urgency` goes before a larger one.
        """
        loop = asyncio.get_running_loop()
        if not self._queue and self._admits(tokens, loop.time()) is None:
            return
        turn = loop.create_future()
        self._asked += 1
        heappush(self._queue, (urgency, self._asked, turn, tokens))
        self._pump()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            else:
                self._pump()  # what stood behind a cancelled one at the head may go
            raise

    def release(self) -> None:
        """End a turn."""
        self._in_flight -= 1
        if self._queue:
            self._pump()

    def succeeded(self, sent_at: float, now: float, *, tokens: float = 0.0) -> None:
        """Learn from an answer; `tokens` is by how much it cost more than was estimated."""
        self._refused_rounds = 0
        if self._tokens is not None and tokens:
            self._tokens.take(tokens)
        if self._limit < self._ceiling and self._in_flight + len(self._queue) >= 0.8 * self._limit:
            more = 1.0 if self._doubling else 1.0 / self._limit + _GROWTH
            self._limit = min(self._ceiling, self._limit + more)
            self._pump()
        if self._latency.too_much(now - sent_at, self._limit):
            self._cut(sent_at, now, max(_NEVER_BELOW_FOR_LATENCY, self._limit * _LATENCY_CUT))

    def failed(self, sent_at: float, now: float) -> None:
        """Learn from a failure that may come from too much at once."""
        self._cut(sent_at, now, self._limit * _FAILED_CUT)

    def refused(self, sent_at: float, now: float) -> int:
        """Learn from a 429; how many rounds have been refused in a row, this one included."""
        if self._cut(sent_at, now, self._limit * _REFUSED_CUT):
            self._refused_rounds += 1
        return self._refused_rounds

    def close_until(self, moment: float) -> None:
        """Give no turns before then."""
        self._closed_until = max(self._closed_until, moment)

    def _cut(self, sent_at: float, now: float, limit: float) -> bool:
        """Once a round: what was sent before the last cut says nothing about the limit after it."""
        if sent_at < self._cut_at:
            return False
        self._doubling = False
        self._cut_at = now
        self._limit = max(1.0, min(self._limit, limit))
        return True

    def _admits(self, tokens: float, now: float) -> float | None:
        """Take a turn, or say how many seconds to wait at least; infinite where only a `release` helps."""
        if self._in_flight >= int(self._limit):
            return float("inf")
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
        while self._queue:
            _, _, turn, tokens = self._queue[0]
            if turn.done():  # cancelled while it waited
                heappop(self._queue)
                continue
            wait = self._admits(tokens, loop.time())
            if wait is not None:
                if wait < float("inf"):
                    self._pump_in(wait, loop)
                return
            heappop(self._queue)
            turn.set_result(None)

    def _pump_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._pump)


class _Latency:
    """Tells when answers take much longer than they did, and whether a cut was the cure."""

    __slots__ = ("_count", "_mean_at_cut", "_sum", "_usual")

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._usual: float | None = None
        self._mean_at_cut: float | None = None

    def too_much(self, seconds: float, limit: float) -> bool:
        """Learn of one answer; True at the end of a window of answers that were too slow."""
        self._count += 1
        self._sum += seconds
        if self._count < max(_WINDOW, limit):
            return False
        mean = self._sum / self._count
        self._count, self._sum = 0, 0.0
        if self._mean_at_cut is not None and mean > 0.9 * self._mean_at_cut:
            self._usual = mean  # fewer at once did not help: the questions are longer, not the queue
        self._mean_at_cut = None
        self._usual = mean if self._usual is None else min(mean, self._usual * 1.02)
        if mean < _SLOW_S or mean < _SLOW_FACTOR * self._usual:
            return False
        self._mean_at_cut = mean
        return True
