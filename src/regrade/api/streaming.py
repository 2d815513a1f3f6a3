"""Answers that take as long as a model does: they end with their client, and their events leave as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from regrade.api.http import json_response
from regrade.types.json import JsonObject

EVENT_STREAM = "text/event-stream"
_CLIENT_GONE = 499  # nobody reads it; nginx writes this into its log


class ClientGoneError(Exception):
    """The client has closed the connection: whatever was done for it has been cancelled."""


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client leaves, and raise ClientGoneError; the body must have been read."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ClientGoneError from None
    finally:
        watcher.cancel()


async def answer(request: Request, work: Awaitable[JsonObject]) -> Response:
    """The document that the work gives; the work ends with the client."""
    try:
        async with while_connected(request.receive):
            document = await work
    except ClientGoneError:
        return Response(status_code=_CLIENT_GONE)
    return json_response(document)


async def stream(request: Request, events: AsyncGenerator[bytes]) -> Response:
    """The events as they come. What goes wrong before the first one is raised, and so becomes an error's status."""
    try:
        async with while_connected(request.receive):
            first = await anext(events, b"")
    except ClientGoneError:
        return Response(status_code=_CLIENT_GONE)
    return _EventStream(first, events)


class _EventStream(Response):
    """A response of events, each sent on its own."""

    media_type = EVENT_STREAM

    def __init__(self, first: bytes, events: AsyncGenerator[bytes]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]  # nobody knows it
        self._first = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything; when the client leaves, so does the request to the endpoint."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with while_connected(receive), aclosing(self._events):
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
                async for event in self._events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        except ClientGoneError:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
