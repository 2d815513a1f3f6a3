"""A grading route of a server, for trainers under test: it answers what the test says."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from regrade.core.training_job import Grading

Answer = Callable[[list[dict]], tuple[int, object]]


class Route:
    """What was asked for, and where."""

    def __init__(self) -> None:
        self.calls: list[list[dict]] = []
        self.port = 0

    @property
    def grading(self) -> Grading:
        return Grading(url=f"http://127.0.0.1:{self.port}/grade", token="one-job")


@contextmanager
def graders(answer: Answer, *, delay_s: float = 0.0) -> Iterator[Route]:
    """Serve `answer(samples) -> (status, body)` on a thread of its own."""
    route, ready, loop = Route(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def grade(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer one-job":
            return web.json_response({"error": {"message": "That is not this job's token."}}, status=401)
        samples = await request.json()
        route.calls.append(samples)
        await asyncio.sleep(delay_s)
        status, body = answer(samples)
        return web.json_response(body, status=status)

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/grade", grade)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        route.port = site._server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield route
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def said(sample: dict) -> str:
    return sample["sample"]["choices"][0]["message"]["content"] or ""


def rewards(values: list[float]) -> tuple[int, dict]:
    return 200, {"data": [{"reward": each, "scores": {"right": each}} for each in values]}


def equal(samples: list[dict]) -> tuple[int, dict]:
    """1 where the answer is the item's."""
    return rewards([float(said(each) == each["item"]["answer"]) for each in samples])
