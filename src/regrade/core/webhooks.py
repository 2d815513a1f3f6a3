"""Webhooks: what there is to tell, in which words, and how a receiver knows that it is we who tell it."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import get_args

from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject
from regrade.types.webhooks import EventType

EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

OF_RUNS: Mapping[str, EventType] = MappingProxyType(
    {"completed": "eval.run.succeeded", "failed": "eval.run.failed", "canceled": "eval.run.canceled"}
)
"""By the status in which a run has ended."""
OF_JOBS: Mapping[str, EventType] = MappingProxyType(
    {
        "succeeded": "fine_tuning.job.succeeded",
        "failed": "fine_tuning.job.failed",
        "cancelled": "fine_tuning.job.cancelled",
    }
)
"""By the status in which a fine-tuning job has ended."""

_SECRET = "whsec_"  # noqa: S105 - what each of them begins with
_HINT_LENGTH = 4
_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecret:
    """A secret that deliveries are signed with."""

    text: str = field(repr=False)
    """`whsec_` and base64, as clients are given it."""
    expires_at: int | None = None
    """None for the one in force; when another one has replaced it, the time until which it signs as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """Where a project wants to be told what has ended."""

    id: str
    project: str
    name: str
    url: str
    event_types: tuple[str, ...]
    created_at: int
    updated_at: int
    secrets: tuple[SigningSecret, ...]
    """The one in force first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to one endpoint, and the right to make one attempt."""

    id: str
    """The same at every attempt, so that receivers know what they have had already."""
    endpoint: WebhookEndpoint
    event_type: str
    body: bytes = field(repr=False)
    created_at: int
    attempts: int
    """Those that were begun, this one included."""


def new_secret(randomness: str) -> SigningSecret:
    """A secret out of 43 random characters, which a receiver gets as base64 of bytes."""
    return SigningSecret(text=f"{_SECRET}{b64encode(randomness.encode()).decode()}")


def hint(secret: SigningSecret) -> str:
    """Enough of a secret to tell it from others, and no more."""
    return f"{_SECRET}...{secret.text.rstrip('=')[-_HINT_LENGTH:]}"


def event(event_id: str, event_type: str, object_id: str, *, created_at: int) -> JsonObject:
    """What is told: which object has ended, and how; a receiver asks for the rest."""
    return {
        "id": event_id,
        "object": "event",
        "type": event_type,
        "created_at": created_at,
        "data": {"id": object_id},
    }


def event_of(event_type: str, object_id: str, *, created_at: int) -> tuple[str, bytes]:
    """The id and the JSON text of the one event of this type that an object can have."""
    event_id = _derived("evt_", event_type, object_id)
    return event_id, dumps(event(event_id, event_type, object_id, created_at=created_at))


def delivery_id(event_id: str, endpoint_id: str) -> str:
    """The id of the one delivery of an event to an endpoint."""
    return _derived("wh_", event_id, endpoint_id)


def signed_headers(secrets: Sequence[SigningSecret], delivery: str, body: bytes, *, now: int) -> dict[str, str]:
    """What Standard Webhooks asks for: a signature with each secret that has not expired."""
    signatures = [
        _signature(secret, delivery, body, now)
        for secret in secrets
        if secret.expires_at is None or secret.expires_at > now
    ]
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(signatures),
    }


def _signature(secret: SigningSecret, delivery: str, body: bytes, now: int) -> str:
    key = b64decode(secret.text.removeprefix(_SECRET))
    signed = hmac.digest(key, f"{delivery}.{now}.".encode() + body, hashlib.sha256)
    return f"v1,{b64encode(signed).decode()}"


def _derived(prefix: str, *parts: str) -> str:
    return prefix + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]
