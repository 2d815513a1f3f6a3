"""/health and /ready, which need no key."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from regrade.api.http import error_response, json_response
from regrade.core.errors import UnavailableError


def routes(ready: Callable[[], bool], python_graders: Callable[[], str]) -> list[Route]:
    """Alive is who answers at all; ready is who can also do the work.

    `python_graders` is the level at which those are confined.
    """

    def answer_health(_request: Request) -> Response:
        return json_response({"status": "ok", "python_graders": python_graders()})

    def answer_ready(request: Request) -> Response:
        if ready():
            return json_response({"status": "ready"})
        return error_response(
            request.scope, UnavailableError("The server is starting or stopping. Ask again soon.")
        )

    return [Route("/health", answer_health), Route("/ready", answer_ready)]
