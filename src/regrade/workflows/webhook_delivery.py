"""Webhooks delivered: what ends have announced goes out at least once, by whichever worker is free.

A delivery is due at a time. Who claims it moves that time beyond the longest attempt: nobody else begins one, and
should the worker die, it is due again. An attempt that failed is repeated after longer and longer pauses.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from math import ceil

from regrade.core.metrics import WEBHOOK_ATTEMPTS, Metrics
from regrade.core.webhooks import Delivery, signed_headers
from regrade.ports.outbound import Outbound, UnreachableError
from regrade.ports.system import Clock
from regrade.ports.webhooks import WebhookDeliveryStore

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 72 * 3600
"""How long after an event an endpoint is still told of it."""
LONGEST_PAUSE_SECONDS = 6 * 3600
CLAIM_SECONDS = 15
"""Above what an attempt can take."""
_KEPT_SECONDS = 7 * 86_400
_SWEPT_AT_ONCE = 1_000
_AT_ONCE = 64
_AT_ONCE_EACH = 4
"""To one endpoint. While these are under way it gets no more, so that one that hangs holds nobody else up."""
_LOOK_SECONDS = 1.0
_TROUBLED_SECONDS = 10.0
_SUCCESSES = range(200, 300)


class WebhookDeliveries:
    """The deliveries of one worker."""

    def __init__(
        self,
        store: WebhookDeliveryStore,
        outbound: Outbound,
        clock: Clock,
        *,
        jitter: Callable[[], float],
        metrics: Metrics,
        look_s: float = _LOOK_SECONDS,
    ) -> None:
        """`jitter` gives numbers from 0 to 1, `look_s` is how long it takes until something due is found."""
        self._store = store
        self._outbound = outbound
        self._clock = clock
        self._jitter = jitter
        self._metrics = metrics
        self._look_s = look_s
        self._busy: Counter[str] = Counter()  # attempts under way by endpoint, where there are any

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver whatever is due until told to stop; then end the attempts that are under way."""
        under_way: set[asyncio.Task[None]] = set()
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            pause = self._look_s
            try:
                for delivery in await self._claim(_AT_ONCE - len(under_way)):
                    self._busy[delivery.endpoint.id] += 1
                    task = asyncio.create_task(self._attempt(delivery))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
            except Exception:  # a database that is away, perhaps: what is due stays due
                logger.exception("Webhooks wait for %g seconds", _TROUBLED_SECONDS)
                pause = _TROUBLED_SECONDS
            await asyncio.wait({stopped, *under_way}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        if under_way:
            await asyncio.wait(under_way)

    def sweep(self) -> None:
        """Forget deliveries that ended a week ago."""
        self._store.sweep(before=self._clock.now() - _KEPT_SECONDS, limit=_SWEPT_AT_ONCE)

    async def _claim(self, room: int) -> list[Delivery]:
        if room <= 0:
            return []
        now = self._clock.now()
        return await asyncio.to_thread(
            self._store.claim,
            now=now,
            until=now + CLAIM_SECONDS,
            limit=room,
            each=_AT_ONCE_EACH,
            busy=list(self._busy),
        )

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            problem = await self._send(delivery)
            await asyncio.to_thread(self._settle, delivery, problem)
        except Exception:  # nobody waits for this; the delivery is due again when its claim ends
            logger.exception("What became of webhook %s could not be noted; it is sent again", delivery.id)
        finally:
            self._busy[delivery.endpoint.id] -= 1
            if not self._busy[delivery.endpoint.id]:
                del self._busy[delivery.endpoint.id]

    async def _send(self, delivery: Delivery) -> str | None:
        """Why it did not arrive; None where it did."""
        # Signed anew, for receivers refuse old signatures.
        headers = signed_headers(delivery.endpoint.secrets, delivery.id, delivery.body, now=self._clock.now())
        try:
            status = await self._outbound.post(delivery.endpoint.url, headers=headers, body=delivery.body)
        except UnreachableError as error:
            return error.message
        return None if status in _SUCCESSES else f"It answered {status}."

    def _settle(self, delivery: Delivery, problem: str | None) -> None:
        now = self._clock.now()
        next_at = now + self._pause(delivery.attempts)
        if problem is None:
            self._store.end(delivery, delivered=True, now=now)
            outcome = "delivered"
        elif next_at > delivery.created_at + PATIENCE_SECONDS:
            self._store.end(delivery, delivered=False, now=now)
            outcome = "given_up"
        else:
            self._store.put_off(delivery, due_at=next_at)
            outcome = "failed"
        self._metrics.of(WEBHOOK_ATTEMPTS, outcome).add()
        if problem is not None:
            logger.warning(
                "Webhook %s (%s) did not reach endpoint %s at attempt %d. %s %s",
                delivery.id,
                delivery.event_type,
                delivery.endpoint.id,
                delivery.attempts,
                problem,
                "It is given up." if outcome == "given_up" else f"The next attempt is in {next_at - now} seconds.",
            )

    def _pause(self, attempts: int) -> int:
        """Twice as long as the one before, and never the same for two deliveries that failed together."""
        longest = min(LONGEST_PAUSE_SECONDS, 1 << min(attempts, 20))
        return ceil(longest * (1 + self._jitter()) / 2)
