"""What the lists of stored chat completions and responses have in common."""

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from regrade.api.http import json_response
from regrade.api.paging import envelope
from regrade.core.entities import Page
from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject

_PAIR = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def metadata_of(request: Request) -> tuple[tuple[str, str], ...]:
    """The pairs of `metadata[key]=value` in the query."""
    found: Sequence[tuple[str, str]] = request.query_params.multi_items()
    return tuple((match[1], value) for key, value in found if (match := _PAIR.fullmatch(key)))


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
