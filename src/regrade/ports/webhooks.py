"""Webhooks: who is told, and what is still to be told."""

from collections.abc import Collection, Sequence
from typing import Protocol

from regrade.core.entities import Creation, Page, PageRequest
from regrade.core.webhooks import Delivery, SigningSecret, WebhookEndpoint


class WebhookEndpointStore(Protocol):
    """Webhook endpoints, each in one project."""

    def add(self, endpoint: WebhookEndpoint, creation: Creation | None, *, most: int) -> bool:
        """False, and nothing stored, where the project has `most` of them."""
        ...

    def get(self, project: str, endpoint_id: str) -> WebhookEndpoint | None: ...

    def page(self, project: str, page: PageRequest) -> Page[WebhookEndpoint]:
        """Raises InvalidError (param `after`) where the cursor was never an endpoint of this project."""
        ...

    def update(
        self,
        endpoint: WebhookEndpoint,
        *,
        name: str | None = None,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        now: int,
    ) -> None:
        """Replace what is not None; harmless where it was deleted."""
        ...

    def rotate(
        self,
        project: str,
        endpoint_id: str,
        secret: SigningSecret,
        creation: Creation | None,
        *,
        old_until: int | None,
        now: int,
    ) -> bool:
        """Put another secret in force; those before it sign until `old_until` at most, or no more.

        False where there is no such endpoint.
        """
        ...

    def delete(self, project: str, endpoint_id: str, *, now: int) -> bool:
        """Forget the endpoint with all that is on its way to it; False where there is none."""
        ...


class WebhookDeliveryStore(Protocol):
    """Deliveries, which the ends of runs and jobs write in their own transactions."""

    def claim(self, *, now: int, until: int, limit: int, each: int, busy: Collection[str]) -> list[Delivery]:
        """Become the one who makes the next attempt of up to `limit` deliveries, until then.

        At most `each` to one endpoint, and none to those that are `busy`; the oldest of every endpoint first.
        """
        ...

    def end(self, delivery: Delivery, *, delivered: bool, now: int) -> None:
        """Note that there is no next attempt; harmless where the claim was lost."""
        ...

    def put_off(self, delivery: Delivery, *, due_at: int) -> None:
        """Let the next attempt be made at that time; harmless where the claim was lost."""
        ...

    def sweep(self, *, before: int, limit: int) -> int:
        """Forget deliveries that ended before then; how many those were."""
        ...
