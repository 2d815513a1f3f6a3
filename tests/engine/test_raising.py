"""The engine: what it keeps is JSON, and a workflow that raises is recorded like any other."""

import subprocess
import sys

PROGRAM = """
import asyncio, sys
from pathlib import Path
from dbos import DBOS
from regrade import engine

async def run(run_id):
    raise OSError(28, "No space left on device")

async def chunk(run_id, k):
    pass

async def main():
    store = engine.sqlite_engine(Path(sys.argv[1]))
    engine.migrate(store)
    queue = engine.DbosQueue(store)
    await asyncio.to_thread(queue.prepare, chunks=1, training=0)
    tuning = engine.TuningWorkflows(read_files=run, train=chunk, slots=0)
    engine.launch(store, executor="worker-0", run=run, chunk=chunk, tuning=tuning)
    queue.start_run("evalrun_1")
    for _ in range(300):
        await asyncio.sleep(0.1)
        [workflow] = await DBOS.list_workflows_async()
        if workflow.status == "ERROR":
            print(workflow.status, workflow.error)
            return

asyncio.run(main())
import os; sys.stdout.flush(); os._exit(0)
"""


def test_a_workflow_that_raises_is_recorded_with_its_reason(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "engine.sqlite3")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "ERROR OSError: [Errno 28] No space left on device", done.stderr
