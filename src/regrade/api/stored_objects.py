"""What the routes of chat completions and responses have in common, where they are stored."""

import re
from collections.abc import Callable, Sequence

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from regrade.api.context import Services, attempt
from regrade.api.http import json_response
from regrade.api.paging import envelope
from regrade.core.entities import Creation, Page
from regrade.core.errors import NotFoundError
from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject

_PAIR = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def metadata_of(request: Request) -> tuple[tuple[str, str], ...]:
    """The pairs of `metadata[key]=value` in the query."""
    found: Sequence[tuple[str, str]] = request.query_params.multi_items()
    return tuple((match[1], value) for key, value in found if (match := _PAIR.fullmatch(key)))


async def earlier(
    request: Request, services: Services, project: str, find: Callable[[str, str], JsonObject]
) -> tuple[Creation, JsonObject | None]:
    """How this request is to be remembered, and what it has made where it repeats an earlier one."""
    tried = await attempt(request, project)
    known = await run_in_threadpool(services.creations.earlier, tried) if tried.may_repeat else None
    made = None
    if known is not None:
        try:
            made = await run_in_threadpool(find, project, known)
        except NotFoundError:  # deleted since: then the request makes a new one
            made = None
    return services.creations.creation(tried), made


def list_response(page: Page[JsonObject]) -> Response:
    """A page in its envelope."""
    ids = [document["id"] for document in page.data]
    return json_response(
        envelope(
            [dumps(document) for document in page.data],
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
            has_more=page.has_more,
        )
    )
