"""A site to look at: the whole application on a socket, over a real store that tests write graded rows into."""

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvicorn

from regrade import main, outside
from regrade.api.app import AppOptions, build_app
from regrade.api.context import Services
from regrade.core.entities import Chunk, Eval, FinishedItem, Run
from regrade.core.ids import output_item_id
from regrade.core.jsontext import dumps
from regrade.core.results import Tally
from regrade.settings import Settings
from regrade.web import routes


class NoEngine:
    """Nothing grades here: tests write the results themselves."""

    def start_run(self, run_id):
        pass

    def start_chunks(self, run_id, ks):
        pass


class HandClock:
    """A clock that stands until it is set."""

    def __init__(self):
        self.time = 1000

    def now(self):
        return self.time

    def nanoseconds(self):
        return self.time * 10**9


@dataclass
class Row:
    """A graded row: its item, what a model answered, and a score, or an error message, for each criterion."""

    scores: list[float | str]
    item: dict = field(default_factory=lambda: {"question": "What is the capital of France?"})
    output: str = "Paris"

    @property
    def status(self):
        if any(isinstance(score, str) for score in self.scores):
            return "error"
        return "pass" if all(score >= 0.5 for score in self.scores) else "fail"


class Site:
    """A running server and what a test puts on it."""

    def __init__(self, world: outside.Outside, services: Services, url: str) -> None:
        self.world = world
        self.services = services
        self.url = url

    def add_eval(
        self, criteria=({"name": "exact", "type": "string_check"},), *, name="Capitals", project="default"
    ):
        now = self.world.clock.now()
        eval_ = Eval(
            id=self.world.ids.new("eval"),
            project=project,
            name=name,
            created_at=now,
            updated_at=now,
            data_source_config={"type": "custom", "schema": {"type": "object"}},
            testing_criteria=[{**criterion, "id": f"{criterion['name']}-{uuid.uuid4()}"} for criterion in criteria],
            metadata={},
        )
        self.world.evals.add(eval_, None)
        return eval_

    def add_run(self, eval_, rows=(), *, name="first", more=0, started=True):
        """A run that has these rows, and waits for `more` of them; it ends where there are none."""
        world = self.world
        now = world.clock.now()
        run = world.runs.add(
            Run(
                id=world.ids.new("run"),
                eval_id=eval_.id,
                project=eval_.project,
                name=name,
                status="queued",
                model=None,
                created_at=now,
                data_source={"type": "jsonl", "source": {"type": "file_content"}},
                metadata={},
            ),
            None,
        )
        if started:
            empty = Tally.empty([criterion["id"] for criterion in eval_.testing_criteria]).as_json()
            sizes = [size for size in (len(rows), more) if size] or [0]
            chunks = [
                Chunk(run_number=run.number, k=k, first_row=k * sizes[0], rows=size, first_line=1, start=0, stop=1)
                for k, size in enumerate(sizes)
            ]
            assert world.chunks.plan(run, chunks, source_blob="files/a", tally=empty, now=now)
            if rows or not more:
                self.grade(eval_, run, rows)
        return world.runs.find(run.id)

    def grade(self, eval_, run, rows, k=0):
        """Write all results of a chunk."""
        self.write(eval_, run, self.world.chunks.claim(run, k, "worker_1"), rows, done=True)
        self.world.chunks.finish(run, now=self.world.clock.now() + 2)

    def write(self, eval_, run, claim, rows, *, done):
        """Write results of a chunk that is already claimed."""
        tally = Tally.from_json(claim.tally)
        items = [_finished(eval_, run, claim.chunk.first_row + at, row, tally) for at, row in enumerate(rows)]
        assert self.world.chunks.flush(claim, items, tally, done=done)

    def path(self, run, item=None):
        """Where the run's report is, or the page of one item."""
        path = f"/evals/{run.eval_id}/runs/{run.id}"
        return path if item is None else f"{path}/items/{output_item_id(run.id, item)}"

    def get(self, path, **options):
        return httpx2.get(self.url + path, **options)


def _finished(eval_, run, index, row, tally):
    results = []
    for criterion, score in zip(eval_.testing_criteria, row.scores, strict=True):
        failed = isinstance(score, str)
        result = {
            "name": criterion["id"],
            "type": criterion["type"],
            "passed": not failed and score >= 0.5,
            "score": 0.0 if failed else score,
            "sample": None,
        }
        if failed:
            result["error"] = {"code": "template_error", "message": score}
            tally.first_error = tally.first_error or score
        tally.criteria[criterion["id"]].add(None if failed else score, passed=result["passed"])
        results.append(result)
    tally.add(row.status)
    body = {
        "object": "eval.run.output_item",
        "id": output_item_id(run.id, index),
        "run_id": run.id,
        "eval_id": run.eval_id,
        "created_at": run.created_at,
        "status": row.status,
        "datasource_item_id": index,
        "datasource_item": row.item,
        "results": results,
        "sample": {
            "input": [{"role": "user", "content": "Answer in one word."}],
            "output": [{"role": "assistant", "content": row.output}] if row.output else [],
            "error": None,
            "finish_reason": "stop",
            "model": "recorded",
            "usage": {"total_tokens": 1200, "completion_tokens": 200, "prompt_tokens": 1000, "cached_tokens": 0},
        },
    }
    return FinishedItem(index, row.status, run.created_at, dumps([None]), dumps(body))


@contextmanager
def serving_site(data_dir: Path) -> Iterator[Site]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(data_dir=data_dir)
    world = outside.open_outside(settings)
    services = main.build_services(
        world, NoEngine(), outside.open_models(world), outside.open_sandbox(settings), url
    )
    pages = routes.build(
        services.runs, services.evals, services.output_items, services.fine_tuning, services.keys, world.clock
    )
    app = build_app(services, AppOptions(ids=world.ids, clock=world.clock, web_routes=pages))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield Site(world, services, url)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        world.close()
