"""A grading process, composed: `regrade worker`, or one that a server started (see supervised.py)."""

import asyncio
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import sqlalchemy as sa
import uvloop
from sqlalchemy.exc import OperationalError

from regrade import engine, logs
from regrade.core.entities import Worker
from regrade.core.errors import ConfigurationError
from regrade.inference.client import Models
from regrade.outside import (
    Outside,
    open_engine,
    open_models,
    open_outside,
    open_sandbox,
    server_url,
    start_local_models,
)
from regrade.services.files import Files
from regrade.services.rewards import token_hash
from regrade.services.uploads import Uploads
from regrade.settings import Settings
from regrade.store.blob_owners import SqlBlobOwners
from regrade.store.figures import SqlFigures
from regrade.supervisor import READY_LINE
from regrade.workflows import upkeep
from regrade.workflows.eval_run import EvalRuns, Ports
from regrade.workflows.fine_tuning_job import FineTuningJobs, end_strays
from regrade.workflows.orphans import OrphanSweep
from regrade.workflows.pulse import Heart
from regrade.workflows.tuning_ports import TuningPorts
from regrade.workflows.upkeep import Chore
from regrade.workflows.webhook_delivery import WebhookDeliveries

logger = logging.getLogger(__name__)

_EXPIRED_AT_ONCE = 1_000
_WORKERS_KEPT_SECONDS = 86_400
_AT_ONCE = 4
"""Chunks at a time: while one computes or commits, others wait for models. Leaders of runs may add some."""
_FILES_AT_ONCE = 4096
_SWITCH_SECONDS = 0.0005
_LOOK_SECONDS = 0.05
_LAST_WORD_SECONDS = 1.0
_DATABASE_SECONDS = 30.0
_PAUSE_SECONDS = 1.0
_OTHER_FOLDER = (
    "{host} trains already, in another folder. Machines that train need one folder that all of them share: name it "
    "as folder in [training] of regrade.toml, or stop the other one first."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose worker this is."""

    server: str
    slot: int


def run(settings: Settings, place: Place | None = None) -> NoReturn:
    """Take work until told to stop; the process ends here."""
    logs.configure(settings.log_level, settings.log_format)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _FILES_AT_ONCE), hard))
    # Threads that look into queues would keep the loop waiting for this long whenever they compute.
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    uvloop.run(Life(settings, place).work())
    raise AssertionError  # a worker ends in its work


class Life:
    """One worker, from its registration to its end."""

    def __init__(self, settings: Settings, place: Place | None) -> None:
        self._settings = settings
        self._place = place
        self._stop = asyncio.Event()

    async def work(self) -> NoReturn:
        """Take work until a signal comes; then end what is under way, hand the rest over, and end the process.

        Nothing is closed: calls that are under way to the last must not see their connections vanish, which would
        look like answers, and workflows must not be told that they are cancelled.
        """
        world, workflow_engine = _open(self._settings)
        world.marker.check()
        queue = engine.DbosQueue(workflow_engine)
        worker = self._worker(world)
        heart = Heart(
            worker.id,
            world.workers,
            takeover_s=self._settings.worker_takeover_seconds,
            on_lost=self._begin_anew,
            on_death=lambda: upkeep.adopt_orphans(queue, world.workers),
        )
        world.workers.add(worker)
        trains = self._trains(world, worker.id)
        self._listen(heart, lambda: world.workers.end(worker.id))
        heart.start()
        if self._place is None:
            start_local_models(self._settings)  # otherwise the server does that started this worker
        models = open_models(world, most_at_once=self._settings.concurrency, gate=heart.enter)
        await models.start()
        world.monitoring.start()
        ports = Ports(
            evals=world.evals,
            runs=world.runs,
            chunks=world.chunks,
            files=world.files,
            stored_objects=world.stored_objects,
            blobs=world.blobs,
            engine=queue,
            models=models,
            sandbox=open_sandbox(self._settings, world.metrics),
            pulse=heart,
            clock=world.clock,
            metrics=world.metrics,
            tracing=world.tracing,
        )
        eval_runs = EvalRuns(
            ports,
            worker=worker.id,
            max_row_bytes=self._settings.max_row_bytes,
            calls_at_once=self._settings.concurrency,
        )
        tuning = _tuning(world, queue, models, trains=trains)
        await asyncio.to_thread(queue.prepare, chunks=_AT_ONCE, training=tuning.slots)
        take_no_more = engine.launch(
            workflow_engine, executor=worker.id, run=eval_runs.run, chunk=eval_runs.chunk, tuning=tuning
        )
        await asyncio.to_thread(upkeep.adopt_orphans, queue, world.workers)
        sys.stdout.buffer.write(READY_LINE)
        sys.stdout.buffer.flush()
        webhooks = WebhookDeliveries(
            world.webhook_deliveries, world.outbound, world.clock, jitter=random.random, metrics=world.metrics
        )
        delivering = asyncio.create_task(webhooks.run(self._stop))
        chores = [
            asyncio.create_task(
                upkeep.repeat(_chores(world, queue, webhooks), mine=lambda: world.workers.is_oldest(worker.id))
            ),
            asyncio.create_task(upkeep.repeat(_chores_of_the_machine(world), mine=lambda: trains)),
        ]
        await self._stop.wait()
        for each in chores:
            each.cancel()
        take_no_more()
        await self._end_what_is_under_way(eval_runs)
        await asyncio.wait([delivering], timeout=self._settings.shutdown_seconds)
        await asyncio.to_thread(world.monitoring.stop)
        await asyncio.to_thread(world.tracing.flush)
        await asyncio.to_thread(heart.end)
        await asyncio.to_thread(upkeep.adopt_orphans, queue, world.workers)
        os._exit(0)

    def _trains(self, world: Outside, worker_id: str) -> bool:
        """Whether this process trains: of the workers of a server only the first, so that slots are the machine's.

        Raises ConfigurationError where it is told to and cannot.
        """
        told, place = self._settings.train, self._place
        if not (told if place is None else place.slot == 0 and told is not False):
            return False
        if world.trainers.missing is not None:
            return self._cannot_train(world, worker_id, world.trainers.missing)
        host = world.workers.train(worker_id, world.trainers.mark(new=world.ids.uuid4()))
        if host is not None:
            return self._cannot_train(world, worker_id, _OTHER_FOLDER.format(host=host))
        return True

    def _cannot_train(self, world: Outside, worker_id: str, reason: str) -> Literal[False]:
        if self._settings.train:
            world.workers.end(worker_id)
            raise ConfigurationError(reason, param="train")
        logger.info("This server trains no models: %s", reason)
        return False

    def _worker(self, world: Outside) -> Worker:
        place = self._place
        return Worker(
            id=world.ids.new("worker"),
            host=socket.gethostname(),
            pid=os.getpid(),
            server=place.server if place else None,
            slot=place.slot if place else None,
        )

    def _listen(self, heart: Heart, say_the_end: Callable[[], None]) -> None:
        """Stop on a signal, at once on a second one; end with the server that started this worker."""

        def stop() -> None:
            if heart.stopping:
                os._exit(1)
            heart.stopping = True
            self._stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if self._place is not None:
            threading.Thread(target=_end_with_parent, args=(say_the_end,), daemon=True).start()

    async def _end_what_is_under_way(self, eval_runs: EvalRuns) -> None:
        try:
            async with asyncio.timeout(self._settings.shutdown_seconds):
                while eval_runs.busy:  # noqa: ASYNC110 - simpler than to be told, and only at the end
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            logger.warning(
                "Calls were still under way after %d seconds; they are made again elsewhere",
                self._settings.shutdown_seconds,
            )

    def _begin_anew(self, reason: str) -> NoReturn:
        """End now, for this worker is dead to all others; who was started by hand starts again."""
        logger.error("This worker starts anew, because %s", reason)
        logging.shutdown()
        if self._place is None:
            os.execv(sys.executable, [sys.executable, "-m", "regrade", *sys.argv[1:]])  # noqa: S606 - our own program
        os._exit(1)


def _open(settings: Settings) -> tuple[Outside, sa.Engine]:
    """The stores; a database that does not answer yet is waited for, since all may be starting at once."""
    deadline = time.monotonic() + _DATABASE_SECONDS
    while True:
        try:
            world, workflow_engine = open_outside(settings), open_engine(settings)
            engine.migrate(workflow_engine)
            return world, workflow_engine
        except (ConfigurationError, OperationalError) as error:
            if time.monotonic() > deadline or getattr(error, "param", "database_url") != "database_url":
                raise
            logger.warning("%s It is tried again.", error)
            time.sleep(_PAUSE_SECONDS)


def _end_with_parent(say_the_end: Callable[[], None]) -> None:
    while os.read(0, 1024):
        pass
    threading.Timer(_LAST_WORD_SECONDS, os._exit, (0,)).start()  # whether or not the database listens
    say_the_end()
    os._exit(0)


def _tuning(world: Outside, queue: engine.DbosQueue, models: Models, *, trains: bool) -> engine.TuningWorkflows:
    """Fine-tuning: who trains reads files, too, for their rows lie where the trainer is."""
    options = world.training

    def grading_url(job_id: str) -> str:
        url = server_url(world.settings, far=options.launch is not None)
        return f"{url}/regrade/fine_tuning/jobs/{job_id}/grade"

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
            images=world.images,
            engine=queue,
            models=models,
            ids=world.ids,
            clock=world.clock,
        ),
        slots=options.slots,
        grace_seconds=options.grace_seconds,
        grading_url=grading_url,
        new_token=new_token,
    )
    return engine.TuningWorkflows(
        read_files=jobs.read_files, train=jobs.train, slots=options.slots if trains else 0
    )


def _chores_of_the_machine(world: Outside) -> Sequence[Chore]:
    """What has to be done where trainers are and their models lie."""
    return (
        Chore(name="end trainers of ended jobs", do=lambda: end_strays(world.fine_tuning, world.trainers)),
        Chore(
            name="remove what deleted models left",
            do=lambda: upkeep.sweep_models(world.fine_tuned_models, world.trainers, world.clock),
        ),
    )


def _chores(world: Outside, queue: engine.DbosQueue, webhooks: WebhookDeliveries) -> Sequence[Chore]:
    """What is done once for all workers."""
    files = Files(world.files, world.blobs, world.clock, world.ids)
    uploads = Uploads(world.uploads, world.files, world.blobs, world.clock, world.ids)
    orphans = OrphanSweep(world.blobs, SqlBlobOwners(world.database), world.clock)
    started = world.clock.now()
    return (
        Chore(name="find work of dead workers", do=lambda: upkeep.adopt_orphans(queue, world.workers)),
        Chore(name="forget dead workers", do=lambda: world.workers.sweep(seconds=_WORKERS_KEPT_SECONDS)),
        Chore(name="keep the figures of processes that are gone", do=SqlFigures(world.database).retire),
        Chore(name="forget ended workflows", do=lambda: upkeep.forget_ended_workflows(queue, world.clock)),
        Chore(
            name="look for work as often as there is some",
            do=lambda: upkeep.keep_pace(queue, world.clock, started=started),
        ),
        Chore(name="start waiting runs", do=lambda: upkeep.start_waiting_runs(world.runs, queue)),
        Chore(name="start waiting jobs", do=lambda: upkeep.start_waiting_jobs(world.fine_tuning, queue)),
        Chore(
            name="remove what deleted runs left",
            do=lambda: upkeep.sweep_runs(world.runs, world.blobs, world.clock),
        ),
        Chore(name="drop the secrets of ended runs", do=lambda: upkeep.drop_secrets(world.runs, world.blobs)),
        Chore(name="remove deleted and expired files", do=files.sweep),
        Chore(name="remove ended uploads", do=uploads.sweep),
        Chore(name="remove blobs that no record names", do=orphans.sweep),
        Chore(name="forget webhooks that ended long ago", do=webhooks.sweep),
        Chore(
            name="remove expired responses",
            do=lambda: world.stored_objects.sweep(now=world.clock.now(), limit=_EXPIRED_AT_ONCE),
        ),
    )
