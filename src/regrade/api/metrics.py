"""/metrics, for Prometheus: the figures of all processes of the database."""

from collections.abc import Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from regrade.api.auth import candidates, refusal
from regrade.core.errors import ForbiddenError
from regrade.services.keys import Keys

Readers = Literal["key", "open", "off"]

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def routes(text: Callable[[], str], keys: Keys, readers: Readers) -> list[Route]:
    """With `key` only admin keys may read them: they tell of all projects."""

    def answer(request: Request) -> Response:
        if readers == "key":
            _require_admin(request, keys)
        return Response(text(), media_type=_TEXT)

    return [] if readers == "off" else [Route("/metrics", answer)]


def _require_admin(request: Request, keys: Keys) -> None:
    if keys.open():
        return
    given = candidates(request.headers)
    key = keys.authenticate(given)
    if key is None:
        raise refusal(given, request.scope)
    if not key.admin:
        raise ForbiddenError(
            "The metrics are of all projects, so this needs an admin key: 'regrade keys create --admin' makes one."
        )
