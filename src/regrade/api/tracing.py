"""Requests as spans of the operator's traces; only where those are asked for."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regrade.api.edge import route_of
from regrade.api.http import REQUEST_ID
from regrade.ports.tracing import REQUEST_SPAN, Tracing


class TracedApp:
    """Pure ASGI around the edge."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracing.request(scope["method"], Headers(scope=scope)) as span:
            REQUEST_SPAN.set(span)
            try:
                await self._app(scope, receive, send_noting)
            finally:
                route = route_of(scope)
                facts = {
                    "http.route": route,
                    "http.response.status_code": status,
                    "regrade.request.id": scope.get(REQUEST_ID, ""),
                }
                span.note(facts, name=f"{scope['method']} {route}")


def leads_to(run_id: str) -> None:
    """Say in the request's span, where it has one, that it has caused the run."""
    span = REQUEST_SPAN.get()
    if span is not None:
        span.leads_to(run_id)
