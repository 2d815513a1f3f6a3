"""The client of models against a bare aiohttp loop, in the same run: 5,000 calls, 64 in flight.

    python bench/inference.py [CALLS]

The upstream (tests/upstream.py) is a process of its own. CPU is this process's alone.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
import processes  # noqa: F401 - makes tests/ importable
import uvloop

from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.ports.models import ModelCall
from regrade.system import SystemClock
from upstream import upstream

AT_ONCE = 64
ROUNDS = 3


def body(number: int) -> dict:
    """A question of some sixty characters, like no other."""
    return {
        "messages": [{"role": "user", "content": f"What is the sum of {number} and {number + 1}? Answer alone."}]
    }


async def bare(url: str, calls: int) -> None:
    """What nobody can be quicker than."""
    left = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for number in left:
                payload = orjson.dumps({**body(number), "model": "echo"})
                headers = {"content-type": "application/json"}
                async with session.post(f"{url}/chat/completions", data=payload, headers=headers) as answer:
                    orjson.loads(await answer.read())

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


async def through_models(url: str, calls: int) -> None:
    """The same through the registry, the limiter and everything else."""
    left = iter(range(calls))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "regrade.toml"
        config.write_text(f'[[endpoints]]\nname = "up"\nbase_url = "{url}"\nmodels = ["echo"]\n')
        registry = Registry(config, variable=lambda _: None)
        async with Models(registry, clock=SystemClock(), jitter=random.random) as models:

            async def caller() -> None:
                for number in left:
                    await models.ask(ModelCall(api="chat", model="echo", body=body(number)))

            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


def measured(work) -> tuple[float, float]:
    """Wall and CPU seconds of one way."""
    wall, cpu = time.perf_counter(), time.process_time()
    uvloop.run(work)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("calls", type=int, nargs="?", default=5_000)
    calls = arguments.parse_args().calls
    for latency in (0, 50):
        with upstream("--latency-ms", str(latency), "--forget") as up:
            measured(bare(up.url, 500))
            pairs = [
                (measured(bare(up.url, calls)), measured(through_models(up.url, calls))) for _ in range(ROUNDS)
            ]
        floor, ours = (
            [statistics.median(values) for values in zip(*each, strict=True)] for each in zip(*pairs, strict=True)
        )
        print(f"{calls:,} calls, {AT_ONCE} in flight, {latency} ms:")
        for name, (wall, cpu) in (("bare aiohttp", floor), ("Models", ours)):
            print(f"  {name:<13} {wall:.3f} s wall, {calls / wall:,.0f}/s, {cpu / calls * 1e6:.0f} us CPU a call")
        added = (ours[1] - floor[1]) / calls * 1e6
        print(f"  wall {ours[0] / floor[0]:.2f} times, CPU {ours[1] / floor[1]:.2f} times, {added:+.0f} us a call")


if __name__ == "__main__":
    main()
