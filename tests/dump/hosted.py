"""A stand-in of the hosted API over a real socket: its lists, pages and refusals, and failures on request."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-test-0123456789abcdef"


@dataclass
class Account:
    """What the stand-in holds: lists and objects by path, files by id."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)


def account(*, evals: int = 3, items: int = 230) -> Account:
    """A small account with something of everything, and lists that take several pages."""
    made = Account()
    made.lists["/evals"] = [_eval(n) for n in range(evals)]
    for n in range(evals):
        eval_id = f"eval_{n:032x}"
        made.objects[f"/evals/{eval_id}"] = made.lists["/evals"][n]
        runs = [_run(eval_id, k, items if k == 0 else 2) for k in range(2)]
        made.lists[f"/evals/{eval_id}/runs"] = runs
        for run in runs:
            made.lists[f"/evals/{eval_id}/runs/{run['id']}/output_items"] = [
                _item(eval_id, run["id"], i) for i in range(run["result_counts"]["total"])
            ]
    _add_file(made, "file-rows", b'{"item": {"q": "\xc3\xa4"}}\n' * 3, "evals")
    _add_file(made, "file-train", bytes(range(256)) * 2_000, "fine-tune")
    _add_file(made, "file-result", b"c3RlcA==", "fine-tune-results")
    made.lists["/fine_tuning/jobs"] = [_job(n) for n in range(2)]
    for job in made.lists["/fine_tuning/jobs"]:
        path = f"/fine_tuning/jobs/{job['id']}"
        made.lists[f"{path}/events"] = [
            {"id": f"ftevent-{job['id']}-{i}", "object": "fine_tuning.job.event", "created_at": 1_760_000_000 + i}
            for i in range(120)
        ]
        made.lists[f"{path}/checkpoints"] = [{"id": f"ftckpt_{job['id']}", "step_number": 10}]
    made.objects["/evals/eval_of_a_job"] = _eval(99) | {"id": "eval_of_a_job"}
    made.lists["/evals/eval_of_a_job/runs"] = []
    made.lists["/chat/completions"] = [
        {"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1_760_000_000 + n} for n in range(3)
    ]
    for chat in made.lists["/chat/completions"]:
        made.lists[f"/chat/completions/{chat['id']}/messages"] = [
            {"id": f"{chat['id']}-{i}", "role": "user", "content": "line\nbreak \u2028"} for i in range(2)
        ]
    return made


def _eval(n: int) -> dict[str, Any]:
    return {"id": f"eval_{n:032x}", "object": "eval", "name": f"Eval {n}", "created_at": 1_750_000_000 + n}


def _run(eval_id: str, k: int, items: int) -> dict[str, Any]:
    source = {"type": "file_id", "id": "file-rows"} if k == 0 else {"type": "file_content", "content": []}
    return {
        "id": f"evalrun_{eval_id[-4:]}{k}",
        "object": "eval.run",
        "created_at": 1_760_000_000 + k * 86_400,
        "eval_id": eval_id,
        "data_source": {"type": "jsonl", "source": source},
        "result_counts": {"total": items, "passed": items, "failed": 0, "errored": 0},
    }


def _item(eval_id: str, run_id: str, i: int) -> dict[str, Any]:
    return {
        "id": f"outputitem_{run_id}_{i:06}",
        "object": "eval.run.output_item",
        "datasource_item_id": i,
        "datasource_item": {"huge": 2**80 + i, "exact": 0.1, "text": "ä\n\u2028" + "x" * (i % 50)},
        "status": "pass",
    }


def _job(n: int) -> dict[str, Any]:
    return {
        "id": f"ftjob-{n}",
        "object": "fine_tuning.job",
        "created_at": 1_760_000_000 - n,
        "training_file": "file-train",
        "validation_file": None,
        "result_files": ["file-result"],
        "eval_id": "eval_of_a_job" if n == 1 else None,
    }


def _add_file(made: Account, file_id: str, content: bytes, purpose: str) -> None:
    made.objects[f"/files/{file_id}"] = {"id": file_id, "object": "file", "bytes": len(content), "purpose": purpose}
    made.contents[file_id] = content


Fault = Callable[[web.Request, int], "web.StreamResponse | str | None"]
"""Of a request and its number: an answer instead, `cut` to reset the connection in mid-body, `short` to close it
there as if the body ended, `drop` to answer nothing."""


class HostedApi:
    """The stand-in, listening on 127.0.0.1. Use as a context manager."""

    def __init__(self, held: Account, *, azure: bool = False, port: int = 0) -> None:
        self.held = held
        self.azure = azure
        self.port = port
        self.interrupt: Callable[[], None] = lambda: None
        """Ends the walk that is going on, as soon as it looks up; set by who walks."""
        self.requests: list[str] = []
        self.at_once = self.most_at_once = 0
        self.fault: Fault = lambda request, number: None
        self.page_limit = 100

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{'/openai/v1' if self.azure else '/v1'}"

    def __enter__(self) -> "HostedApi":
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,))
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(started))
        self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        number = len(self.requests)
        self.requests.append(request.path_qs)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            fault = self.fault(request, number)
            if fault == "drop":
                request.transport.abort()
                return web.Response()
            answer = fault if isinstance(fault, web.StreamResponse) else self._truth(request)
            if fault in {"cut", "short"} and isinstance(answer, web.Response):
                return await _cut(request, answer, announced=fault == "cut")
            return answer
        finally:
            self.at_once -= 1

    def _truth(self, request: web.Request) -> web.Response:
        given = request.headers.get("api-key") if self.azure else request.headers.get("Authorization")
        if given != (KEY if self.azure else f"Bearer {KEY}"):
            return error(
                401, f"Incorrect API key provided: {given}.", code="401" if self.azure else "invalid_api_key"
            )
        if self.azure and request.headers.get("aoai-evals") != "preview":
            return error(400, "The aoai-evals header is missing.")
        path = request.path.removeprefix("/openai").removeprefix("/v1")
        if path == "/models":
            return pretty({"object": "list", "data": []})
        if path.startswith("/files/") and path.endswith("/content"):
            file_id = path.split("/")[2]
            if file_id in self.held.contents:
                return web.Response(body=self.held.contents[file_id], content_type="application/octet-stream")
        elif path in self.held.lists:
            return self._page(path, request)
        elif path in self.held.objects:
            return pretty(self.held.objects[path])
        return error(404, f"There is nothing at {path}.")

    def _page(self, path: str, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "20"))
        if not 1 <= limit <= self.page_limit:
            return error(400, f"Invalid 'limit': {limit} is above {self.page_limit}.")
        entries = self.held.lists[path]
        start = 0
        if "after" in request.query:
            ids = [entry["id"] for entry in entries]
            if request.query["after"] not in ids:
                return error(400, "Unknown cursor.")
            start = ids.index(request.query["after"]) + 1
        page = entries[start : start + limit]
        return pretty({"object": "list", "data": page, "has_more": start + limit < len(entries)})


def pretty(document: Any) -> web.Response:
    """JSON as the hosted service writes it: over several lines."""
    return web.Response(text=json.dumps(document, indent=2, ensure_ascii=False), content_type="application/json")


def error(status: int, message: str, *, code: str | None = None, **headers: str) -> web.Response:
    """An error in OpenAI's shape; underscores in header names become hyphens."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(text=json.dumps(body), status=status, content_type="application/json", headers=named)


async def _cut(request: web.Request, whole: web.Response, *, announced: bool) -> web.StreamResponse:
    """Send half of a body, then end the connection."""
    body = bytes(whole.body)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {whole.content_type}\r\nConnection: close\r\n"
    length = f"Content-Length: {len(body)}\r\n" if announced else ""
    request.transport.write((head + length + "\r\n").encode() + body[: len(body) // 2])
    await asyncio.sleep(0.01)
    if announced:
        request.transport.abort()
    else:
        request.transport.close()
    return web.Response()
