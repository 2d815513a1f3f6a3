"""The gateway between a client and an upstream: what it adds to a call's time, and how many calls pass in a second.

python bench/gateway.py [CALLS]

Direct calls and calls through the gateway take turns, in the same run, against the stand-in upstream.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil
import uvloop
from processes import cpu_seconds, peak_mib, serving

from upstream import upstream

MESSAGES = [
    {"role": "system", "content": "You sort support tickets. Answer with one word."},
    {"role": "user", "content": "My invoice shows the wrong address, and I cannot change it myself. " * 8},
]
MODEL = "say=billing"
AT_ONCE = 32
CONFIG = """
[[endpoints]]
name = "up"
base_url = "{url}"
models = ["say=*"]
api = ["chat", "responses"]
max_concurrency = 1024
"""


@contextmanager
def gateway(folder: Path, url: str):
    """A server without workers in front of the upstream."""
    config = folder / "regrade.toml"
    config.write_text(CONFIG.format(url=url))
    flags = ("--workers", "0", "--log-level", "warning", "--config", str(config))
    with serving(folder / "data", *flags) as server:
        yield server


def kinds(direct: str, through: str) -> dict[str, tuple[str, dict]]:
    """What is measured: name -> (URL, body)."""
    chat = {"model": MODEL, "messages": MESSAGES}
    response = {"model": MODEL, "input": MESSAGES, "store": False}
    return {
        "direct": (f"{direct}/chat/completions", chat),
        "chat": (f"{through}/chat/completions", chat),
        "chat, stored": (f"{through}/chat/completions", {**chat, "store": True, "metadata": {"usecase": "bench"}}),
        "chat, streamed": (f"{through}/chat/completions", {**chat, "stream": True}),
        "direct, streamed": (f"{direct}/chat/completions", {**chat, "stream": True}),
        "responses": (f"{through}/responses", response),
    }


async def call(session: aiohttp.ClientSession, url: str, body: dict) -> float:
    """Seconds of one call, answer read."""
    started = time.perf_counter()
    async with session.post(url, json=body) as answer:
        text = await answer.read()
    if answer.status != 200:
        raise SystemExit(f"{url} answered {answer.status}: {text[:300]}")
    return time.perf_counter() - started


async def latencies(session: aiohttp.ClientSession, wanted: dict, calls: int) -> dict[str, list[float]]:
    """One call at a time, the kinds in turn, so that a busy machine is busy for all of them."""
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for turn in range(calls + 20):
        for name, (url, body) in wanted.items():
            seconds = await call(session, url, body)
            if turn >= 20:
                found[name].append(seconds)
    return found


async def rate(session: aiohttp.ClientSession, url: str, body: dict, calls: int) -> float:
    """Calls a second with many at once."""
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await call(session, url, body)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return calls / (time.perf_counter() - started)


async def measure(direct: str, through: str, server: psutil.Process, calls: int) -> None:
    """Print every figure."""
    wanted = kinds(direct, through)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as session:
        found = await latencies(session, wanted, calls)
        median = {name: statistics.median(times) * 1e3 for name, times in found.items()}
        print(f"one call at a time, {calls} of each kind (load {os.getloadavg()[0]:.1f}):")
        for name, milliseconds in median.items():
            base = median["direct, streamed" if "streamed" in name else "direct"]
            p95 = sorted(found[name])[int(len(found[name]) * 0.95)] * 1e3
            added = f", {milliseconds - base:+.2f} ms" if not name.startswith("direct") else ""
            print(f"  {name:18} median {milliseconds:.2f} ms, p95 {p95:.2f} ms{added}")
        print(f"{AT_ONCE} calls at once, {calls * 4} of each kind:")
        bare = 0.0
        for name, (url, body) in wanted.items():
            await rate(session, url, body, calls)  # warm
            before = cpu_seconds([server])
            reached = await rate(session, url, body, calls * 4)
            used = (cpu_seconds([server]) - before) / (calls * 4) * 1e3
            bare = bare or reached
            share = (
                "" if name.startswith("direct") else f", {reached / bare:.2f} of direct, {used:.2f} CPU-ms a call"
            )
            print(f"  {name:18} {reached:,.0f}/s{share}")
    print(f"peak memory of the server: {peak_mib(server):.0f} MiB")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("calls", type=int, nargs="?", default=1_000)
    calls = arguments.parse_args().calls
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream("--forget") as up,
        gateway(Path(folder), up.url) as server,
    ):
        process = psutil.Process(server.process.pid)
        uvloop.run(measure(up.url, f"{server.url}/v1", process, calls))


if __name__ == "__main__":
    main()
