"""A row that kills whoever works on it: it alone is given up, with the reason."""

import asyncio
import threading
import time
from contextlib import contextmanager

import psutil
import pytest

from grading_workers import fleet
from upstream import Connection, Site


class DeadlyConnection(Connection):
    """Kills the process that asks for the poisoned row."""

    async def _model(self, path, raw, headers):
        if b"poison" in raw:
            self.site.deaths += 1
            owner_of(self.transport.get_extra_info("peername")[1]).kill()
        else:
            await super()._model(path, raw, headers)


class DeadlySite(Site):
    deaths = 0

    async def listen(self, port):
        server = await asyncio.get_running_loop().create_server(lambda: DeadlyConnection(self), "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        self.server = server

    async def close(self):
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0.1)


def owner_of(port):
    """The process with this local port."""
    for process in psutil.Process().children():
        if any(each.laddr.port == port for each in process.net_connections()):
            return process
    raise LookupError(port)


@contextmanager
def deadly_upstream():
    site, loop = DeadlySite(records=False), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(site.listen(0), loop).result(10)
    try:
        yield site
    finally:
        asyncio.run_coroutine_threadsafe(site.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("rows", "poisoned"), [(20, 13), pytest.param(5_000, 3_210, marks=pytest.mark.long)])
def test_of_many_rows_the_one_that_kills_is_given_up_alone(tmp_path, rows, poisoned):
    texts = ["poison" if n == poisoned else f"row {n}" for n in range(rows)]
    with (
        deadly_upstream() as site,
        fleet(tmp_path, f"http://127.0.0.1:{site.port}/v1", "--worker-takeover-seconds", "2") as running,
    ):
        workers = [running.add() for _ in range(2)]
        run = running.run("echo", texts)
        deadline = time.monotonic() + 500
        while (run := running.now(run)).status in ("queued", "in_progress"):
            assert time.monotonic() < deadline, (run.result_counts, site.deaths)
            workers = [worker if worker.lives else running.add() for worker in workers]
            time.sleep(0.1)
        assert run.status == "completed"
        assert run.result_counts.to_dict() == {"total": rows, "passed": rows - 1, "failed": 0, "errored": 1}
        [item] = running.client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, status="error")
        assert item.datasource_item_id == poisoned
        assert item.sample.error.code == "worker_lost"
        assert "alone" in item.sample.error.message
        print(f"{site.deaths} workers died of it")
