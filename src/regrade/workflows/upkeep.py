"""What a server does on its own, every few seconds: start what waits, remove what is no longer needed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from regrade.core.ids import secrets_blob
from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.fine_tuning import FineTunedModelStore, FineTuningStore, Trainers
from regrade.ports.store import RunStore
from regrade.ports.system import Clock
from regrade.ports.workers import WorkerStore

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 10.0
_ITEMS_AT_ONCE = 5_000
_RUNS_AT_ONCE = 100
_MODELS_AT_ONCE = 20
_WORKFLOWS_AT_ONCE = 1_000
_WORKFLOW_KEPT_SECONDS = 600
_QUIET_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """One thing to do in every round; bounded work, so that no round takes long."""

    name: str
    do: Callable[[], object]


def start_waiting_runs(runs: RunStore, engine: Engine) -> None:
    """Ask for the workflow of every run that has not ended; for all that have one this changes nothing."""
    for run in runs.unfinished():
        engine.start_run(run.id)


def start_waiting_jobs(jobs: FineTuningStore, engine: Engine) -> None:
    """Ask for the workflow of every fine-tuning job that somebody is to bring further."""
    for job in jobs.unfinished():
        engine.start_job(job.id, job.round, training=job.status != "validating_files")


def sweep_models(models: FineTunedModelStore, trainers: Trainers, clock: Clock) -> None:
    """Delete the files of tuned models that were deleted; an adapter's base stays."""
    for model in models.unswept(limit=_MODELS_AT_ONCE):
        trainers.remove(model.folder)
        models.swept(model.name, now=clock.now())


def forget_ended_workflows(engine: Engine, clock: Clock) -> None:
    """Keep the engine small, and no run stuck.

    A run that goes on although its workflow has ended (the disk was full when it should have ended, too) gets
    another one, because `start_waiting_runs` then asks for a workflow that is not known any more.
    """
    engine.forget_ended(before=clock.now() - _WORKFLOW_KEPT_SECONDS, limit=_WORKFLOWS_AT_ONCE)


def keep_pace(engine: Engine, clock: Clock, *, started: int) -> None:
    """Let workers that have had nothing to do for minutes, and did not just start, look for work less often."""
    quiet_since = clock.now() - _QUIET_SECONDS
    if started < quiet_since:
        engine.keep_pace(since=quiet_since)


def adopt_orphans(engine: Engine, workers: WorkerStore) -> None:
    """Let others have what dead workers had, should whoever found them dead have died before that."""
    adopted = engine.adopt(workers.alive)
    if adopted:
        logger.info("%d workflows of workers that are gone go on elsewhere", adopted)


def sweep_runs(runs: RunStore, blobs: Blobs, clock: Clock) -> None:
    """Remove items of deleted runs, some at a time."""
    for blob in runs.sweep(now=clock.now(), limit=_ITEMS_AT_ONCE):
        blobs.delete(blob)


def drop_secrets(runs: RunStore, blobs: Blobs) -> None:
    """Delete the secrets of runs that have ended."""
    for run in runs.ended_with_secrets(limit=_RUNS_AT_ONCE):
        blobs.delete(secrets_blob(run.id))
        runs.forget_secrets(run)


async def repeat(chores: Sequence[Chore], *, mine: Callable[[], bool], period: float = PERIOD_SECONDS) -> None:
    """Do all chores now and in every period, for ever; one that fails is tried again in the next.

    A round is left out where it is not `mine`: of all workers, one does this. Two at once would do no harm.
    """
    while True:
        try:
            todo = chores if await asyncio.to_thread(mine) else ()
        except Exception:  # a database that is away, perhaps
            logger.exception("Upkeep is left out this time")
            todo = ()
        for chore in todo:
            try:
                await asyncio.to_thread(chore.do)
            except Exception:  # a chore is work handed over: the next round must come
                logger.exception("Upkeep could not %s; it tries again in %g seconds", chore.name, period)
        await asyncio.sleep(period)
