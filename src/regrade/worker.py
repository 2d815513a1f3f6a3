"""A grading process: `python -m regrade.worker SLOT COUNT`, started by the supervisor.

It reads its settings as one line of JSON from standard input, and ends at once when that input is closed. Ending at
once is always safe: what is not committed is done again by whoever takes the work up.
"""

import asyncio
import os
import sys
import threading
from contextlib import closing

import uvloop

from regrade import engine
from regrade.core.jsontext import loads
from regrade.inference.client import Models
from regrade.main import (
    Outside,
    configure_logging,
    open_engine,
    open_models,
    open_outside,
    open_sandbox,
    server_url,
)
from regrade.services.files import Files
from regrade.services.rewards import token_hash
from regrade.services.uploads import Uploads
from regrade.settings import Settings, load
from regrade.store.blob_owners import SqlBlobOwners
from regrade.supervisor import READY_LINE
from regrade.workflows.eval_run import EvalRuns, Ports
from regrade.workflows.fine_tuning_job import FineTuningJobs, TuningPorts, end_strays
from regrade.workflows.orphans import OrphanSweep
from regrade.workflows.upkeep import (
    Chore,
    drop_secrets,
    forget_ended_workflows,
    repeat,
    start_waiting_jobs,
    start_waiting_runs,
    sweep_models,
    sweep_runs,
)

_EXPIRED_AT_ONCE = 1_000
_AT_ONCE = 4
"""Chunks at a time: they take turns, so a short run does not wait for a long one."""


def main() -> None:
    """The whole life of a worker."""
    slot, count = int(sys.argv[1]), int(sys.argv[2])
    settings = load(loads(_first_line()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    configure_logging(settings.log_level)
    uvloop.run(work(settings, slot, count))


def _first_line() -> bytes:
    """One line from standard input, read below sys.stdin, whose lock a waiting thread would hold for ever."""
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(0, 1) or b"\n"
    return text


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


async def work(settings: Settings, slot: int, count: int) -> None:
    """Take work for ever. The worker of slot 0 also does the upkeep."""
    with closing(open_outside(settings)) as world:
        world.marker.check()
        workflow_engine = open_engine(settings)
        queue = engine.DbosQueue(workflow_engine)
        models = open_models(world)
        await models.start()
        ports = Ports(
            evals=world.evals,
            runs=world.runs,
            chunks=world.chunks,
            files=world.files,
            stored_objects=world.stored_objects,
            blobs=world.blobs,
            engine=queue,
            models=models,
            sandbox=open_sandbox(settings),
            clock=world.clock,
        )
        eval_runs = EvalRuns(ports, max_row_bytes=settings.max_row_bytes)
        executors = [f"worker-{each}" for each in range(count)]
        await engine.launch(
            workflow_engine,
            executor=executors[slot],
            at_once=_AT_ONCE,
            run=eval_runs.run,
            chunk=eval_runs.chunk,
            tuning=_tuning(world, queue, models, trains=slot == 0),
        )
        if slot == 0:
            # The data directory has one server, so what other executors left belongs to nobody any more.
            await engine.adopt(executors)
        sys.stdout.buffer.write(READY_LINE)
        sys.stdout.buffer.flush()
        if slot == 0:
            await repeat(_chores(world, queue))
        await asyncio.Event().wait()


def _tuning(world: Outside, queue: engine.DbosQueue, models: Models, *, trains: bool) -> engine.TuningWorkflows:
    """Fine-tuning: any worker reads files, one of a server trains, so that slots are the machine's."""
    options = world.training

    def new_token() -> tuple[str, str]:
        token = world.ids.secret()
        return token, token_hash(token)

    jobs = FineTuningJobs(
        TuningPorts(
            jobs=world.fine_tuning,
            tuned=world.fine_tuned_models,
            trainers=world.trainers,
            runs=world.runs,
            blobs=world.blobs,
            engine=queue,
            models=models,
            ids=world.ids,
            clock=world.clock,
        ),
        slots=options.slots,
        grace_seconds=options.grace_seconds,
        grading_url=lambda job_id: f"{server_url(world.settings)}/regrade/fine_tuning/jobs/{job_id}/grade",
        new_token=new_token,
    )
    return engine.TuningWorkflows(
        read_files=jobs.read_files, train=jobs.train, slots=options.slots if trains else 0
    )


def _chores(world: Outside, queue: engine.DbosQueue) -> list[Chore]:
    files = Files(world.files, world.blobs, world.clock, world.ids)
    uploads = Uploads(world.uploads, world.files, world.blobs, world.clock, world.ids)
    orphans = OrphanSweep(world.blobs, SqlBlobOwners(world.database), world.clock)
    return [
        Chore(name="forget ended workflows", do=lambda: forget_ended_workflows(queue, world.clock)),
        Chore(name="start waiting runs", do=lambda: start_waiting_runs(world.runs, queue)),
        Chore(name="start waiting jobs", do=lambda: start_waiting_jobs(world.fine_tuning, queue)),
        Chore(name="end trainers of ended jobs", do=lambda: end_strays(world.fine_tuning, world.trainers)),
        Chore(
            name="remove what deleted models left",
            do=lambda: sweep_models(world.fine_tuned_models, world.trainers, world.clock),
        ),
        Chore(name="remove what deleted runs left", do=lambda: sweep_runs(world.runs, world.blobs, world.clock)),
        Chore(name="drop the secrets of ended runs", do=lambda: drop_secrets(world.runs, world.blobs)),
        Chore(name="remove deleted and expired files", do=files.sweep),
        Chore(name="remove ended uploads", do=uploads.sweep),
        Chore(name="remove blobs that no record names", do=orphans.sweep),
        Chore(
            name="remove expired responses",
            do=lambda: world.stored_objects.sweep(now=world.clock.now(), limit=_EXPIRED_AT_ONCE),
        ),
    ]


if __name__ == "__main__":
    main()
