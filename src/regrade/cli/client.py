"""The HTTP client of the commands: the few calls of the API that they make."""

import asyncio
from collections.abc import AsyncIterator, Container
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import aiohttp

from regrade.core import jsontext
from regrade.core.errors import (
    AuthenticationError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RegradeError,
    UnavailableError,
)
from regrade.types.json import JsonObject

PAGE = 100
ENDED = ("completed", "failed", "canceled")

_PAUSES_S = (0.25, 0.5, 1, 2, 4)
_PREFIXES = ("/v1", "/openai/v1", "/openai")


class Client:
    """A server of the API; an async context manager.

    Calls raise the project's own errors, with the server's message. Those that read a run are repeated while the
    server cannot answer, for about eight seconds, so that watching a run outlives a restart.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        self._base = self.url if self.url.endswith(_PREFIXES) else f"{self.url}/v1"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def upload(self, filename: str, content: BinaryIO, purpose: str = "evals") -> str:
        """Upload a file of rows; its id."""
        form = aiohttp.FormData()
        form.add_field("purpose", purpose)
        form.add_field("file", content, filename=filename, content_type="application/octet-stream")
        return str((await self._send("POST", "/files", data=form))["id"])

    async def create_eval(self, body: JsonObject) -> JsonObject:
        """POST /evals."""
        return await self._send("POST", "/evals", json=body)

    async def get_eval(self, eval_id: str) -> JsonObject:
        """GET /evals/{eval_id}."""
        return await self._send("GET", f"/evals/{quote(eval_id, safe='')}")

    async def newest_evals(self) -> list[JsonObject]:
        """The newest evals, the newest first."""
        return list((await self._send("GET", "/evals", params={"order": "desc", "limit": str(PAGE)}))["data"])

    async def create_run(self, eval_id: str, body: JsonObject) -> JsonObject:
        """POST /evals/{eval_id}/runs."""
        return await self._send("POST", f"/evals/{quote(eval_id, safe='')}/runs", json=body)

    async def get_run(self, run: JsonObject) -> JsonObject:
        """The run as it is now."""
        return await self._get_patiently(f"/evals/{run['eval_id']}/runs/{run['id']}")

    async def cancel_run(self, run: JsonObject) -> JsonObject:
        """Stop the run; what is graded stays. A run that has ended meanwhile is answered as it is."""
        try:
            return await self._send("POST", f"/evals/{run['eval_id']}/runs/{run['id']}/cancel")
        except InvalidError:
            return await self.get_run(run)

    async def items(self, run: JsonObject) -> AsyncIterator[JsonObject]:
        """The output items of a run, in row order."""
        path = f"/evals/{run['eval_id']}/runs/{run['id']}/output_items"
        query = {"limit": str(PAGE)}
        while True:
            page = await self._get_patiently(path, params=query)
            for item in page["data"]:
                yield item
            if not page["has_more"] or not page["data"]:
                return
            query["after"] = page["data"][-1]["id"]

    async def create_job(self, body: JsonObject) -> JsonObject:
        """POST /fine_tuning/jobs."""
        return await self._send("POST", "/fine_tuning/jobs", json=body)

    async def get_job(self, job_id: str) -> JsonObject:
        """The fine-tuning job as it is now."""
        return await self._get_patiently(_job_path(job_id))

    async def change_job(self, job_id: str, action: str) -> JsonObject:
        """Pause, resume or cancel a fine-tuning job."""
        return await self._send("POST", f"{_job_path(job_id)}/{action}")

    async def newest_jobs(self, limit: int) -> list[JsonObject]:
        """The newest fine-tuning jobs, the newest first."""
        return list((await self._send("GET", "/fine_tuning/jobs", params={"limit": str(limit)}))["data"])

    async def job_events(self, job_id: str, known: Container[str]) -> list[JsonObject]:
        """What a fine-tuning job has told beyond the events that are known, the oldest first."""
        new: list[JsonObject] = []
        query = {"limit": str(PAGE)}
        while True:
            page = await self._get_patiently(f"{_job_path(job_id)}/events", params=query)
            fresh = [event for event in page["data"] if event["id"] not in known]
            new += fresh
            if not page["has_more"] or len(fresh) < len(page["data"]):
                return new[::-1]
            query["after"] = page["data"][-1]["id"]

    async def _get_patiently(self, path: str, **options: Any) -> JsonObject:
        for pause in _PAUSES_S:
            try:
                return await self._send("GET", path, **options)
            except UnavailableError:
                await asyncio.sleep(pause)
        return await self._send("GET", path, **options)

    async def _send(self, method: str, path: str, *, json: JsonObject | None = None, **options: Any) -> JsonObject:
        if json is not None:
            options["data"] = jsontext.dumps(json)
            options["headers"] = {"Content-Type": "application/json"}
        try:
            async with self._session.request(method, self._base + path, **options) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or "it took too long"
            raise UnavailableError(f"The server at {self.url} does not answer: {why}.") from error
        if response.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
            raise _error_of(self.url, response, body)
        try:
            answer = jsontext.loads(body)
        except InvalidError:
            answer = None
        if not isinstance(answer, dict):
            raise UnavailableError(f"What answers at {self.url} is no server of this API: its answer is not JSON.")
        return answer


def _job_path(job_id: str) -> str:
    return f"/fine_tuning/jobs/{quote(job_id, safe='')}"


def _error_of(url: str, response: aiohttp.ClientResponse, body: bytes) -> RegradeError:
    kind = _KINDS.get(response.status, UnavailableError if response.status >= 500 else InvalidError)  # noqa: PLR2004
    request_id = response.headers.get("x-request-id")
    told = f" (request {request_id})" if request_id else ""
    try:
        error = jsontext.loads(body)["error"]
        return kind(f"{error['message']}{told}", param=error.get("param"))
    except (InvalidError, KeyError, TypeError):
        return kind(f"The server at {url} answered with status {response.status} and no explanation{told}.")


_KINDS: dict[int, type[RegradeError]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    408: UnavailableError,
    429: UnavailableError,
}
