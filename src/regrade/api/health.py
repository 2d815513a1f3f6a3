"""/health and /ready, which need no key."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from regrade.api.http import error_response, json_response
from regrade.core.errors import UnavailableError


def routes(ready: Callable[[], bool]) -> list[Route]:
    """Alive is who answers at all; ready is who can also do the work."""

    def answer_ready(request: Request) -> Response:
        if ready():
            return json_response({"status": "ready"})
        return error_response(
            request.scope, UnavailableError("The server is starting or stopping. Ask again soon.")
        )

    return [Route("/health", _answer_health), Route("/ready", answer_ready)]


async def _answer_health(_request: Request) -> Response:
    return json_response({"status": "ok"})
