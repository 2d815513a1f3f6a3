"""The walk over the hosted API: fetch what the plan names, save it, learn from it what else there is."""

import asyncio
from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import Protocol

import aiohttp

from regrade.dump.client import AT_ONCE, Hosted, RefusedError
from regrade.dump.plan import Plan, Skip
from regrade.dump.resources import PAGE_SIZE, Answer, Kind, MalformedAnswerError, Request, parse
from regrade.types.json import JsonObject

_SMALLER_PAGE = 20
_PIECE = 1 << 18


class Keeper(Protocol):
    """Where answers go."""

    def append(self, answer: Answer) -> None:
        """Save an answer: it is safe when this returns."""
        ...

    async def receive(self, request: Request, pieces: AsyncIterable[bytes]) -> bytes:
        """Save a file's bytes; answers the record of it, to be appended."""
        ...


class Nowhere:
    """The keeper of a dry run."""

    def append(self, answer: Answer) -> None:
        """Forget it."""

    async def receive(self, request: Request, pieces: AsyncIterable[bytes]) -> bytes:
        """A dry run fetches no file."""
        raise AssertionError(f"A dry run was handed {pieces!r} of {request.path}.")


class Walk:
    """One call's way over the account. Nothing that fails alone stops it; see Hosted.get for what does."""

    def __init__(
        self, *, hosted: Hosted, plan: Plan, keeper: Keeper, now: Callable[[], int], watch: Callable[[Plan], None]
    ) -> None:
        """`watch` is called after each answer, and must be quick."""
        self._hosted = hosted
        self._plan = plan
        self._keeper = keeper
        self._now = now
        self._watch = watch
        self._page_sizes: dict[str, int] = {}

    async def run(self) -> None:
        """Fetch everything in the scope that the plan does not know to be saved."""
        for stage in self._plan.scope.roots():
            for request in stage:
                self._plan.add(request)
            try:
                await self._drain()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _drain(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            running: set[asyncio.Task[None]] = set()
            while True:
                while len(running) < AT_ONCE and (taken := self._plan.take()):
                    running.add(tasks.create_task(self._fetch(*taken)))
                if not running:
                    return
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def _fetch(self, request: Request, after: str | None) -> None:
        try:
            answer = await self._ask(request, after)
            if self._plan.repeats(answer):
                raise RefusedError("the list comes back to where it was", None)
        except RefusedError as refusal:
            self._plan.skip(Skip(request=request, reason=refusal.reason, status=refusal.status))
        else:
            self._keeper.append(answer)
            self._plan.record(answer)
        self._watch(self._plan)

    async def _ask(self, request: Request, after: str | None) -> Answer:
        match request.kind:
            case "page":
                raw, value = await self._page(request, after)
            case "object":
                raw, value = await self._hosted.get(request.path, {}, partial(_document, kind="object"))
            case "bytes":
                raw, value = await self._hosted.get(request.path, {}, partial(self._bytes, request))
        return Answer(request=request, after=after, fetched_at=self._now(), raw=raw, value=value)

    async def _page(self, request: Request, after: str | None) -> tuple[bytes, JsonObject]:
        while True:
            size = self._page_sizes.get(request.resource, PAGE_SIZE)
            query = {"limit": str(size)} | ({"after": after} if after is not None else {})
            try:
                return await self._hosted.get(request.path, query, partial(_document, kind="page"))
            except RefusedError as refusal:
                # No reference says how large the pages of every list may be.
                if refusal.status != 400 or "limit" not in refusal.reason or size == _SMALLER_PAGE:  # noqa: PLR2004
                    raise
                self._page_sizes[request.resource] = _SMALLER_PAGE

    async def _bytes(self, request: Request, response: aiohttp.ClientResponse) -> tuple[bytes, JsonObject]:
        raw = await self._keeper.receive(request, response.content.iter_chunked(_PIECE))
        record = parse(raw, request.kind)
        # aiohttp notices when a body of known length breaks off; one that the connection's end ends may be cut.
        delimited = response.content_length is not None or "transfer-encoding" in response.headers
        if not delimited and request.size is not None and record["bytes"] != request.size:
            raise MalformedAnswerError(f"the file broke off after {record['bytes']} of {request.size} bytes")
        return raw, record


async def _document(response: aiohttp.ClientResponse, *, kind: Kind) -> tuple[bytes, JsonObject]:
    raw = await response.read()
    return raw, parse(raw, kind)
