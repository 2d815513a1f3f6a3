"""The whole HTTP application: one API under three prefixes, the pages beside it, the edge around both."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from regrade import __version__
from regrade.api import (
    chat_completions,
    checkpoint_permissions,
    embeddings,
    evals,
    files,
    fine_tuning,
    graders,
    health,
    http,
    metrics,
    models,
    output_items,
    responses,
    rewards,
    runs,
    uploads,
    webhook_endpoints,
)
from regrade.api.context import Services, project
from regrade.api.edge import Edge, EdgeOptions
from regrade.api.fast_lane import FastLane
from regrade.api.metrics import Readers
from regrade.api.openapi import ERRORS, PREFIXES, describe
from regrade.api.tracing import TracedApp
from regrade.core.errors import RegradeError
from regrade.core.jsontext import dumps
from regrade.core.metrics import Metrics
from regrade.ports.system import Clock, Ids
from regrade.ports.tracing import NoTraces, Tracing
from regrade.services.readiness import Findings

__all__ = ["AppOptions", "Services", "build_app"]

_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RegradeError: http.answer_error,
    HTTPException: http.answer_routing_error,
    RequestValidationError: http.answer_query_error,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What the application needs beside its services."""

    ids: Ids
    clock: Clock
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    look: Callable[[], Findings] = Findings
    """How the parts of the server are; may wait for them."""
    python_graders: Callable[[], str] = lambda: "refuse"
    """The level at which they are confined."""
    metrics: Metrics = field(default_factory=Metrics)
    """Where requests are counted."""
    metrics_text: Callable[[], str] = str
    metrics_readers: Readers = "off"
    tracing: Tracing = field(default_factory=NoTraces)
    web_routes: Sequence[BaseRoute] = ()
    """Pages, at the root."""


def build_app(services: Services, options: AppOptions) -> ASGIApp:
    """The application that a server serves; it holds no state but what `services` hold."""
    api = build_api(services)
    lane = FastLane(
        api,
        {
            "/evals": evals.create_eval,
            "/chat/completions": chat_completions.create_chat_completion,
            "/responses": responses.create_response,
            "/embeddings": embeddings.create_embedding,
        },
    )

    @cache
    def description() -> bytes:
        return dumps(describe(api, __version__))

    def openapi(_request: Request) -> Response:
        # In a thread and when first asked for: writing it takes a quarter of the time in which a server starts.
        return http.json_response(description())

    async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise HTTPException(404)

    root = Router(
        [
            *(Mount(prefix, lane) for prefix in PREFIXES),
            *health.routes(options.look, options.python_graders),
            *metrics.routes(options.metrics_text, services.keys, options.metrics_readers),
            *rewards.routes(services.rewards),
            Route("/openapi.json", openapi),
            *options.web_routes,
        ],
        redirect_slashes=False,
        default=nothing,  # also for paths with a line feed, which no pattern of a prefix matches
    )
    edge = Edge(
        ExceptionMiddleware(root, _HANDLERS),
        options.edge,
        ids=options.ids,
        clock=options.clock,
        without_keys=services.keys.open,
        metrics=options.metrics,
    )
    return TracedApp(edge, options.tracing) if options.tracing.on else edge


def build_api(services: Services) -> FastAPI:
    """The routes of the API, relative to a prefix."""
    api = FastAPI(
        title="Regrade",
        version=__version__,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(project)],
        responses=ERRORS,
        exception_handlers={**_HANDLERS, Exception: http.answer_internal_error},
    )
    api.state.services = services
    for resource in (
        *(evals, runs, output_items, files, uploads, graders, models),
        *(chat_completions, responses, embeddings),
        *(fine_tuning, checkpoint_permissions, webhook_endpoints),
    ):
        api.include_router(resource.router)
    api.include_router(webhook_endpoints.router, prefix=webhook_endpoints.AZURE, include_in_schema=False)
    return api
