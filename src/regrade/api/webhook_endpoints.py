"""/webhook_endpoints and /webhook_event_types; for Azure's clients the same below /dashboard."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import CurrentAttempt, CurrentProject, CurrentServices
from regrade.api.http import Document, OptionalDocument, json_response
from regrade.api.openapi import answers, takes
from regrade.api.paging import DEFAULT_LIMIT, After, Limit, envelope
from regrade.core.entities import PageRequest
from regrade.core.jsontext import dumps
from regrade.types.webhooks import (
    CreateWebhookEndpoint,
    RotateWebhookSecret,
    TestWebhookEndpoint,
    UpdateWebhookEndpoint,
    WebhookEndpoint,
    WebhookEndpointDeleted,
    WebhookEndpointList,
    WebhookEndpointTest,
    WebhookEndpointWithSecret,
    WebhookEventTypeList,
)

AZURE = "/dashboard"
router = APIRouter(tags=["Webhooks"])


async def _noun(request: Request) -> str:
    prefix: str = request.scope.get("root_path", "")
    path: str = request.scope["path"]
    return "webhook.endpoint" if path.removeprefix(prefix).startswith(f"{AZURE}/") else "webhook_endpoint"


Noun = Annotated[str, Depends(_noun)]


@router.post(
    "/webhook_endpoints",
    operation_id="createWebhookEndpoint",
    responses=answers(WebhookEndpointWithSecret),
    openapi_extra=takes(CreateWebhookEndpoint),
)
def create_webhook_endpoint(
    services: CurrentServices, project: CurrentProject, attempt: CurrentAttempt, noun: Noun, document: Document
) -> Response:
    """Create a webhook endpoint; the answer alone holds its signing secret."""
    endpoints = services.webhook_endpoints
    made = services.creations.once(
        attempt,
        lambda creation: endpoints.create(project, document, creation, noun=noun),
        lambda endpoint_id: endpoints.get_with_secret(project, endpoint_id, noun=noun),
    )
    return json_response(made)


@router.get("/webhook_endpoints", operation_id="listWebhookEndpoints", responses=answers(WebhookEndpointList))
def list_webhook_endpoints(
    services: CurrentServices,
    project: CurrentProject,
    noun: Noun,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List webhook endpoints, newest first."""
    page = services.webhook_endpoints.list(project, PageRequest(limit=limit, after=after, order="desc"), noun=noun)
    ids = [endpoint["id"] for endpoint in page.data]
    return json_response(
        envelope(
            [dumps(endpoint) for endpoint in page.data],
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=page.has_more,
        )
    )


@router.get(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="getWebhookEndpoint",
    responses=answers(WebhookEndpoint),
)
def retrieve_webhook_endpoint(
    services: CurrentServices, project: CurrentProject, noun: Noun, webhook_endpoint_id: str
) -> Response:
    """Retrieve a webhook endpoint."""
    return json_response(services.webhook_endpoints.get(project, webhook_endpoint_id, noun=noun))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="updateWebhookEndpoint",
    responses=answers(WebhookEndpoint),
    openapi_extra=takes(UpdateWebhookEndpoint),
)
def update_webhook_endpoint(
    services: CurrentServices, project: CurrentProject, noun: Noun, webhook_endpoint_id: str, document: Document
) -> Response:
    """Change a webhook endpoint."""
    return json_response(services.webhook_endpoints.update(project, webhook_endpoint_id, document, noun=noun))


@router.delete(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="deleteWebhookEndpoint",
    responses=answers(WebhookEndpointDeleted),
)
def delete_webhook_endpoint(
    services: CurrentServices, project: CurrentProject, noun: Noun, webhook_endpoint_id: str
) -> Response:
    """Delete a webhook endpoint and what waits to be delivered to it."""
    return json_response(services.webhook_endpoints.delete(project, webhook_endpoint_id, noun=noun))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/rotate_secret",
    operation_id="rotateWebhookEndpointSecret",
    responses=answers(WebhookEndpointWithSecret),
    openapi_extra=takes(RotateWebhookSecret, required=False),
)
def rotate_webhook_secret(
    services: CurrentServices,
    project: CurrentProject,
    attempt: CurrentAttempt,
    noun: Noun,
    webhook_endpoint_id: str,
    document: OptionalDocument,
) -> Response:
    """Replace the signing secret; the answer alone holds the new one."""
    endpoints = services.webhook_endpoints
    rotated = services.creations.once(
        attempt,
        lambda creation: endpoints.rotate_secret(project, webhook_endpoint_id, document, creation, noun=noun),
        lambda endpoint_id: endpoints.get_with_secret(project, endpoint_id, noun=noun),
    )
    return json_response(rotated)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    operation_id="testWebhookEndpoint",
    responses=answers(WebhookEndpointTest),
    openapi_extra=takes(TestWebhookEndpoint),
)
def test_webhook_endpoint(
    services: CurrentServices, project: CurrentProject, noun: Noun, webhook_endpoint_id: str, document: Document
) -> Response:
    """Send a sample event to a webhook endpoint."""
    return json_response(services.webhook_endpoints.test(project, webhook_endpoint_id, document, noun=noun))


@router.get("/webhook_event_types", operation_id="listWebhookEventTypes", responses=answers(WebhookEventTypeList))
def list_webhook_event_types(services: CurrentServices) -> Response:
    """List the types of events that webhook endpoints can be told of."""
    return json_response(services.webhook_endpoints.event_types())
