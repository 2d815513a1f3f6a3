"""A process that asks models as told, and shares their limits with the others that use the same database.

    python tests/asker.py CONFIG DATABASE_URL DATA_DIR

Each line of standard input is {"model", "project", "at_once", "seconds", "calls", "text"}: from then on so many
calls at a time, for so long or until so many are answered. It ends when standard input does and all is asked, and
prints how many answers each project had and how long the slowest one took.
"""

import asyncio
import json
import random
import sys
import uuid
from collections import Counter, defaultdict
from pathlib import Path

from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.ports.models import ModelCall
from regrade.store.database import Database, postgres_engine, sqlite_engine
from regrade.store.limit_claims import SqlLimitLedger
from regrade.system import SystemClock


async def load(models, order, answered, slowest):
    """Ask `at_once` questions at a time, for `seconds` or until `calls` are answered."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + order.get("seconds", 1e9)
    left = iter(range(order.get("calls", 10**9)))
    project = order.get("project", "default")

    async def caller():
        for number in left:
            began = loop.time()
            if began >= ends:
                return
            content = f"{order.get('text', 'question')} {number}"
            body = {"messages": [{"role": "user", "content": content}]}
            await models.ask(ModelCall(api="chat", model=order["model"], body=body, project=project))
            answered[project] += 1
            slowest[project] = max(slowest[project], loop.time() - began)

    await asyncio.gather(*(caller() for _ in range(order["at_once"])))


async def main(config, url, folder):
    path = Path(folder) / "regrade.sqlite3"
    database = Database(sqlite_engine(path) if url == "sqlite" else postgres_engine(url))
    registry = Registry(Path(config), variable=lambda _: None)
    answered, slowest = Counter(), defaultdict(float)
    async with Models(
        registry,
        clock=SystemClock(),
        jitter=random.random,
        policy=Policy(timeout_s=60.0),
        ledger=SqlLimitLedger(database),
        process=str(uuid.uuid4()),
    ) as models:
        print("ready", flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with asyncio.TaskGroup() as group:
            async for line in reader:
                group.create_task(load(models, json.loads(line), answered, slowest))
    database.close()
    print(json.dumps({"answered": answered, "slowest": slowest}), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(*sys.argv[1:]))
