"""Workers together: what a second one brings, what durability costs, and how soon a dead one's work goes on.

    python bench/fleet.py [ROWS]

The upstream (tests/upstream.py) is a process of its own and answers after a fixed time; workers have few calls in
flight, so that the machine is not the limit; the share of it that was used is printed.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil
from processes import cpu_seconds

from grading_workers import Fleet, fleet
from upstream import upstream

SCALED = "--concurrency", "8"
AT_ONCE = 64


def timed(running: Fleet, rows: int) -> float:
    """Seconds of a run over `rows` rows, from its creation to its end."""
    started = time.perf_counter()
    run = running.run("echo", [f"row {n}" for n in range(rows)])
    while run.status in ("queued", "in_progress"):
        time.sleep(0.02)
        run = running.now(run)
    if run.result_counts.passed != rows:
        raise SystemExit(f"the run went wrong: {run.status} {run.error} {run.result_counts}")
    return time.perf_counter() - started


def scaling(folder: Path, rows: int) -> None:
    """One worker, then two, eight calls of 50 ms in flight for each."""
    with upstream("--latency-ms", "50", "--forget") as up, fleet(folder, up.url, *SCALED) as running:
        rates = []
        for count in (1, 2):
            running.add().wait_until_ready()
            timed(running, 200)
            processes = [psutil.Process(worker.pid) for worker in running.workers]
            before = cpu_seconds(processes)
            seconds = timed(running, rows)
            busy = (cpu_seconds(processes) - before) / seconds / psutil.cpu_count()
            rates.append(rows / seconds)
            print(f"{count} worker(s), 8 calls of 50 ms each: {rates[-1]:,.0f} rows/s, {busy:.0%} of the machine")
    print(f"the second worker brings {rates[1] / rates[0]:.2f} times as much")


async def bare(url: str, rows: int) -> float:
    """Seconds of the same calls in a loop that keeps nothing."""
    texts = iter(range(rows))

    async def work(session: aiohttp.ClientSession) -> None:
        for n in texts:
            body = {"model": "echo", "messages": [{"role": "user", "content": f"row {n}"}]}
            async with session.post(f"{url}/chat/completions", data=json.dumps(body)) as answer:
                assert json.loads(await answer.read())["choices"][0]["message"]["content"] == f"row {n}"

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))
    return time.perf_counter() - started


def durability(folder: Path, rows: int) -> None:
    """A run beside the bare loop, 64 calls of 100 ms in flight."""
    with (
        upstream("--latency-ms", "100", "--forget") as up,
        fleet(folder, up.url, "--concurrency", str(AT_ONCE)) as running,
    ):
        running.add().wait_until_ready()
        timed(running, 1_000)  # connections, the limiter's ramp
        for count in (rows, 20_000 * rows // 6_000):
            floor, seconds = asyncio.run(bare(up.url, count)), timed(running, count)
            print(f"{count:,} rows at 100 ms: {seconds:.1f} s, {seconds / floor - 1:+.1%} over calls alone")


def takeover(folder: Path) -> None:
    """Of two workers one is killed: how long until all of its rows have gone on elsewhere."""
    with upstream("--latency-ms", "50") as up, fleet(folder, up.url, *SCALED) as running:
        first, second = running.add().wait_until_ready(), running.add().wait_until_ready()
        run = running.run("echo", [f"row {n}" for n in range(100_000)])
        running.wait_for_items(run, 500)
        first.kill()
        killed = time.perf_counter()
        while not any("taken for dead" in line for line in second.errors):
            time.sleep(0.01)
        print(f"after kill -9, with worker_takeover_seconds 20: {time.perf_counter() - killed:.1f} s")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows", type=int, nargs="?", default=6_000)
    rows = arguments.parse_args().rows
    for part in (lambda folder: scaling(folder, rows), lambda folder: durability(folder, rows), takeover):
        with tempfile.TemporaryDirectory() as folder:
            part(Path(folder))


if __name__ == "__main__":
    main()
