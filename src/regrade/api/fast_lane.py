"""The few routes that programs call all day, ahead of FastAPI, whose routing takes longer than all they do."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, request_response
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class FastLane:
    """Goes straight to the endpoint of a POST to one of these paths, and to the API with everything else.

    The API has the same routes with the same endpoints: it describes them, and knows their other methods.
    """

    def __init__(self, api: FastAPI, posts: Mapping[str, Endpoint]) -> None:
        self._api = api
        self._posts = {path: request_response(endpoint) for path, endpoint in posts.items()}
        self._routes = {path: Route(path, endpoint) for path, endpoint in posts.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"].removeprefix(scope["root_path"])
            endpoint = self._posts.get(path)
            if endpoint is not None:
                scope["app"] = self._api
                scope["route"] = self._routes[path]
                await endpoint(scope, receive, send)
                return
        await self._api(scope, receive, send)
