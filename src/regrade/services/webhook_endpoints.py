"""Webhook endpoints: create, list, read, change, delete, rotate their secrets, try them."""

import asyncio
from dataclasses import replace
from threading import BoundedSemaphore

from regrade.core import webhooks
from regrade.core.entities import Creation, Page, PageRequest
from regrade.core.errors import InvalidError, NotFoundError, StateError, UnavailableError
from regrade.core.jsontext import dumps
from regrade.core.parsing import parse
from regrade.core.webhooks import EVENT_TYPES, WebhookEndpoint, hint, new_secret, signed_headers
from regrade.ports.outbound import Outbound, UnreachableError
from regrade.ports.system import Clock, Ids
from regrade.ports.webhooks import WebhookEndpointStore
from regrade.types.json import JsonObject
from regrade.types.webhooks import (
    CreateWebhookEndpoint,
    RotateWebhookSecret,
    TestWebhookEndpoint,
    UpdateWebhookEndpoint,
)

MOST_ENDPOINTS = 100
"""Of a project: each of them is one more row in the transaction that ends a run."""
OLD_SECRET_SECONDS = 86_400
_TESTS_AT_ONCE = 8
_SAMPLES = {"eval.run": f"evalrun_{'0' * 32}", "fine_tuning.job": f"ftjob-{'0' * 32}"}
"""The objects that samples tell of: there are none with such ids."""


class WebhookEndpoints:
    """What the endpoints under /webhook_endpoints mean. `noun` is the API's name for one, as Azure's differs."""

    def __init__(self, store: WebhookEndpointStore, outbound: Outbound, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._outbound = outbound
        self._ids = ids
        self._clock = clock
        self._testing = BoundedSemaphore(_TESTS_AT_ONCE)

    def create(self, project: str, document: JsonObject, creation: Creation | None, *, noun: str) -> JsonObject:
        """Check a new endpoint and store it; the answer holds its secret."""
        request = parse(CreateWebhookEndpoint, document)
        self._check(request.url)
        now = self._clock.now()
        endpoint = WebhookEndpoint(
            id=self._ids.new("webhook"),
            project=project,
            name=request.name,
            url=request.url,
            event_types=tuple(dict.fromkeys(request.event_types)),
            created_at=now,
            updated_at=now,
            secrets=(new_secret(self._ids.secret()),),
        )
        if not self._store.add(endpoint, creation, most=MOST_ENDPOINTS):
            raise StateError(f"A project can have at most {MOST_ENDPOINTS} webhook endpoints. Delete one first.")
        return _with_secret(endpoint, noun)

    def list(self, project: str, page: PageRequest, *, noun: str) -> Page[JsonObject]:
        """One page of the project's endpoints, newest first."""
        found = self._store.page(project, page)
        return Page(data=[_document(endpoint, noun) for endpoint in found.data], has_more=found.has_more)

    def get(self, project: str, endpoint_id: str, *, noun: str) -> JsonObject:
        """The endpoint. Raises NotFoundError."""
        return _document(self._find(project, endpoint_id), noun)

    def get_with_secret(self, project: str, endpoint_id: str, *, noun: str) -> JsonObject:
        """For a create or a rotation that is repeated because its answer was lost. Raises NotFoundError."""
        return _with_secret(self._find(project, endpoint_id), noun)

    def update(self, project: str, endpoint_id: str, document: JsonObject, *, noun: str) -> JsonObject:
        """Replace what is given; deliveries that wait already go to a new URL, too."""
        request = parse(UpdateWebhookEndpoint, document)
        if request.url is not None:
            self._check(request.url)
        before = self._find(project, endpoint_id)
        types = None if request.event_types is None else tuple(dict.fromkeys(request.event_types))
        after = replace(
            before,
            name=before.name if request.name is None else request.name,
            url=before.url if request.url is None else request.url,
            event_types=before.event_types if types is None else types,
        )
        if after != before:
            self._store.update(before, name=request.name, url=request.url, event_types=types, now=self._clock.now())
        return self.get(project, endpoint_id, noun=noun)

    def delete(self, project: str, endpoint_id: str, *, noun: str) -> JsonObject:
        """Tell it nothing any more, not even what waits to be delivered."""
        if not self._store.delete(project, endpoint_id, now=self._clock.now()):
            raise _unknown(endpoint_id)
        return {"id": endpoint_id, "object": f"{noun}.deleted", "deleted": True}

    def rotate_secret(
        self, project: str, endpoint_id: str, document: JsonObject, creation: Creation | None, *, noun: str
    ) -> JsonObject:
        """Put another secret in force; the answer holds it."""
        request = parse(RotateWebhookSecret, document)
        now = self._clock.now()
        rotated = self._store.rotate(
            project,
            endpoint_id,
            new_secret(self._ids.secret()),
            creation,
            old_until=now + OLD_SECRET_SECONDS if request.keep_old_secret_active_for_24_hours else None,
            now=now,
        )
        if not rotated:
            raise _unknown(endpoint_id)
        return self.get_with_secret(project, endpoint_id, noun=noun)

    def test(self, project: str, endpoint_id: str, document: JsonObject, *, noun: str) -> JsonObject:
        """Send a sample now, once; the answer has the status that came back, whichever that is.

        Raises InvalidError where none did.
        """
        request = parse(TestWebhookEndpoint, document)
        endpoint = self._find(project, endpoint_id)
        if not self._testing.acquire(blocking=False):
            raise UnavailableError("Other webhook endpoints are being tested now. Try again in some seconds.")
        try:
            status = self._send_sample(endpoint, request.event_type)
        except UnreachableError as error:
            raise InvalidError(
                f"The webhook endpoint '{endpoint_id}' gave no answer. {error.message}", code="webhook_unreachable"
            ) from error
        finally:
            self._testing.release()
        return {
            "object": f"{noun}.test",
            "webhook_endpoint_id": endpoint_id,
            "event_type": request.event_type,
            "status_code": status,
            "success": True,
        }

    def event_types(self) -> JsonObject:
        """Everything that endpoints can be told of."""
        return {"object": "list", "data": list(EVENT_TYPES)}

    def _send_sample(self, endpoint: WebhookEndpoint, event_type: str) -> int:
        now = self._clock.now()
        sample = _SAMPLES[event_type.rpartition(".")[0]]
        body = dumps(webhooks.event(self._ids.new("occurrence"), event_type, sample, created_at=now))
        headers = signed_headers(endpoint.secrets, self._ids.new("delivery"), body, now=now)
        return asyncio.run(self._outbound.post(endpoint.url, headers=headers, body=body))

    def _check(self, url: str) -> None:
        problem = self._outbound.check(url)
        if problem is not None:
            raise InvalidError(f"Invalid value for 'url': {problem}", param="url")

    def _find(self, project: str, endpoint_id: str) -> WebhookEndpoint:
        endpoint = self._store.get(project, endpoint_id)
        if endpoint is None:
            raise _unknown(endpoint_id)
        return endpoint


def _document(endpoint: WebhookEndpoint, noun: str) -> JsonObject:
    return {
        "id": endpoint.id,
        "object": noun,
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        "signing_secret_hint": hint(endpoint.secrets[0]),
    }


def _with_secret(endpoint: WebhookEndpoint, noun: str) -> JsonObject:
    return {**_document(endpoint, noun), "signing_secret": endpoint.secrets[0].text}


def _unknown(endpoint_id: str) -> NotFoundError:
    return NotFoundError(f"No webhook endpoint found with id '{endpoint_id}'.", param="webhook_endpoint_id")
