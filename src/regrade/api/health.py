"""/health and /ready, which need no key."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from regrade import __version__
from regrade.api.http import json_response
from regrade.services.readiness import Findings

_UNAVAILABLE = 503


def routes(look: Callable[[], Findings], python_graders: Callable[[], str]) -> list[Route]:
    """Alive is who answers at all; ready is who can also do the work.

    `look` may wait for a database; `python_graders` is how those are confined, and waits for nothing.
    """

    async def answer_health(_request: Request) -> Response:
        # On the event loop: who is alive says so also while every thread waits for a database that is away.
        return json_response({"status": "ok", "version": __version__, "python_graders": python_graders()})

    def answer_ready(_request: Request) -> Response:
        found = look()
        content = {"status": "ready" if found.ready else "not ready", "parts": dict(found.parts)}
        return json_response(content, 200 if found.ready else _UNAVAILABLE)

    return [Route("/health", answer_health), Route("/ready", answer_ready)]
