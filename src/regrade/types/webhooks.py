"""Webhook endpoints, and the types of the events that they are told of."""

from typing import Annotated, Literal

from pydantic import Field

from regrade.types.lists import CursorList
from regrade.types.wire import Answered, Received

EventType = Literal[
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
]

Name = Annotated[str, Field(min_length=1, max_length=256)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=100)]


class CreateWebhookEndpoint(Received):
    """The body of POST /webhook_endpoints."""

    name: Name
    url: Url
    event_types: EventTypes


class UpdateWebhookEndpoint(Received):
    """The body of POST /webhook_endpoints/{webhook_endpoint_id}: what is given replaces."""

    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None


class RotateWebhookSecret(Received):
    """The body of POST .../rotate_secret."""

    keep_old_secret_active_for_24_hours: bool | None = None


class TestWebhookEndpoint(Received):
    """The body of POST .../test."""

    event_type: EventType


class WebhookEndpoint(Answered):
    """Where a project wants to be told; Azure's path says `webhook.endpoint`."""

    id: str
    object: Literal["webhook_endpoint", "webhook.endpoint"]
    name: str
    url: str
    event_types: list[str]
    created_at: int
    updated_at: int
    signing_secret_hint: str


class WebhookEndpointWithSecret(WebhookEndpoint):
    """The answer to a create or a rotation, and to nothing else."""

    signing_secret: str


class WebhookEndpointList(CursorList[WebhookEndpoint]):
    """One page of webhook endpoints."""


class WebhookEndpointDeleted(Answered):
    """An endpoint that is told nothing any more."""

    id: str
    object: Literal["webhook_endpoint.deleted", "webhook.endpoint.deleted"]
    deleted: bool


class WebhookEndpointTest(Answered):
    """What an endpoint answered to a sample."""

    object: Literal["webhook_endpoint.test", "webhook.endpoint.test"]
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True]


class WebhookEventTypeList(Answered):
    """Every type of event that there is here."""

    object: Literal["list"]
    data: list[str]
