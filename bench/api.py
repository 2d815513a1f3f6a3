"""The API under load: creating evals, listing items of a large run, staying quick while a run grades at full speed.

python bench/api.py [ROWS]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
from processes import Server, serving
from texts import CONFIG, CRITERIA, write_rows

CREATES = 3_000
AT_ONCE = 16
SAMPLES = 200


def milliseconds(values: list[float]) -> str:
    """Median and 95th percentile of some seconds."""
    ordered = sorted(values)
    return f"median {statistics.median(ordered) * 1e3:.2f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1e3:.2f} ms"


async def timed(session: aiohttp.ClientSession, path: str) -> float:
    """Seconds of one GET, body read."""
    started = time.perf_counter()
    async with session.get(path) as answer:
        body = await answer.read()
    if answer.status != 200:
        raise SystemExit(f"GET {path} answered {answer.status}: {body[:200]}")
    return time.perf_counter() - started


async def floor_rate(session: aiohttp.ClientSession) -> float:
    """GET /health a second: what the server and this client reach without any work."""
    return await _rate(CREATES, lambda: timed(session, "/health"))


async def create_rate(session: aiohttp.ClientSession) -> float:
    """POST /v1/evals a second."""
    body = {"name": "bench", "data_source_config": CONFIG, "testing_criteria": CRITERIA}

    async def create() -> None:
        async with session.post("/v1/evals", json=body) as answer:
            await answer.read()
            if answer.status != 201:
                raise SystemExit(f"POST /v1/evals answered {answer.status}")

    return await _rate(CREATES, create)


async def _rate(count: int, call) -> float:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def while_grading(session: aiohttp.ClientSession, run: str) -> tuple[list[float], list[float], dict]:
    """Seconds of GETs of the run and of a page of its items, until it ends; and the run."""
    of_run, of_items = [], []
    while True:
        of_run.append(await timed(session, run))
        of_items.append(await timed(session, f"{run}/output_items?limit=100"))
        async with session.get(run) as answer:
            document = await answer.json()
        if document["status"] not in ("queued", "in_progress"):
            return of_run, of_items, document
        await asyncio.sleep(0.05)


async def measure(server: Server, source: Path) -> None:
    """Print every figure."""
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(600)) as session:
        bare, creates = await floor_rate(session), await create_rate(session)
        print(f"POST /v1/evals: {creates:,.0f}/s = {creates / bare:.2f} of GET /health's {bare:,.0f}/s")
        form = aiohttp.FormData({"purpose": "evals"})
        form.add_field("file", source.open("rb"), filename="rows.jsonl")
        async with session.post("/v1/files", data=form) as answer:
            file = (await answer.json())["id"]
        body = {"data_source_config": CONFIG, "testing_criteria": CRITERIA}
        async with session.post("/v1/evals", json=body) as answer:
            eval_ = (await answer.json())["id"]
        body = {"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": file}}}
        async with session.post(f"/v1/evals/{eval_}/runs", json=body) as answer:
            run = f"/v1/evals/{eval_}/runs/{(await answer.json())['id']}"
        of_run, of_items, document = await while_grading(session, run)
        rows = document["result_counts"]["total"]
        print(f"while {rows:,} rows were graded ({document['status']}):")
        print(f"  GET run: {milliseconds(of_run)} over {len(of_run)} calls")
        print(f"  GET 100 items: {milliseconds(of_items)}")
        prefix = "outputitem_" + run.rsplit("_", 1)[1][:24]
        pages = [f"{run}/output_items?limit=100&after={prefix}{rows * n // SAMPLES:08x}" for n in range(SAMPLES)]
        listed = [await timed(session, page) for page in pages]
        idle = [await timed(session, "/health") for _ in range(SAMPLES)]
        times = statistics.median(listed) / statistics.median(idle)
        print(f"list 100 of {rows:,} items: {milliseconds(listed)}, {times:.1f} times GET /health")
        failed = [await timed(session, f"{run}/output_items?limit=100&status=fail") for _ in range(50)]
        print(f"list 100 failed of {rows:,} items: {milliseconds(failed)}")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = arguments.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        source = write_rows(Path(folder) / "rows.jsonl", rows)
        with serving(Path(folder) / "data", "--log-level", "warning", "--max-file-bytes", "2 GiB") as server:
            asyncio.run(measure(server, source))


if __name__ == "__main__":
    main()
