"""Walks of tests: what one call of the command does, and what a dump then holds."""

import asyncio
import gzip
import json
from pathlib import Path

from dump.hosted import KEY, HostedApi
from regrade.dump.client import Account, Hosted, Patience
from regrade.dump.plan import Plan
from regrade.dump.resources import Scope
from regrade.dump.storage import DumpWriter
from regrade.dump.walk import Walk

EVERYTHING = Scope()
IMPATIENT = Patience(attempts=3, limited=5, first_wait=0.001, longest_wait=0.01, longest_asked=1.0, given_up=4)


def save(
    api: HostedApi, out: Path, *, scope: Scope = EVERYTHING, key: str = KEY, patience: Patience = IMPATIENT
) -> Plan:
    """One call: begin the dump, or go on with it, and walk to the end."""
    account = Account(base_url=api.base_url, key=key, azure=api.azure)
    origin = {"base_url": api.base_url, "since": scope.since, "evals": list(scope.evals)}
    plan = Plan(scope)

    async def walk(dump: DumpWriter) -> None:
        async with Hosted(account, patience, jitter=lambda: 0.5) as hosted:
            task = asyncio.ensure_future(
                Walk(hosted=hosted, plan=plan, keeper=dump, now=lambda: 1_770_000_000, watch=lambda _: None).run()
            )
            loop = asyncio.get_running_loop()
            api.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
            await task

    with DumpWriter(out, origin, now=1_770_000_000) as dump:
        for answer in dump.answers():
            plan.record(answer)
        dump.report(plan, finished_at=None)
        finished_at = None
        try:
            asyncio.run(walk(dump))
            finished_at = 1_770_000_001
        finally:
            dump.report(plan, finished_at=finished_at)
    return plan


def held(out: Path) -> list[str]:
    """Everything in a dump, without the order in which it came and the time: read with gzip and json alone."""
    found = []
    for path in sorted(out.glob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).split(b"\n")[:-1]:
            entry = json.loads(line)
            del entry["fetched_at"]
            found.append(f"{path.name} {json.dumps(entry, sort_keys=True)}")
    found += [f"{path.name} {path.read_bytes()!r}" for path in (out / "files").iterdir()]
    return sorted(found)
