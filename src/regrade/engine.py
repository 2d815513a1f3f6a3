"""Durable execution: DBOS keeps what must run, workers take it from a queue. Nobody else imports dbos."""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, Serializer
from sqlalchemy import event

from regrade.core.jsontext import dumps, loads

_RUNS, _CHUNKS, _TRAINING_FILES, _TRAINING = "runs", "work", "training_files", "training"
_SCHEMA = "regrade_engine"  # on PostgreSQL; a file of its own has no need of one
_RAISED = "raised"
_RUN = "eval_run"
_CHUNK = "eval_run_chunk"
_FILES = "fine_tuning_files"
_TRAIN = "fine_tuning_job"
_QUEUE_OF = {_RUN: _RUNS, _CHUNK: _CHUNKS, _FILES: _TRAINING_FILES, _TRAIN: _TRAINING}
_POLL_SECONDS, _QUIET_POLL_SECONDS = 0.1, 0.4
"""Between looks into a queue, of which each costs two milliseconds of a worker's processor."""
_AWAKE_SECONDS = 60.0
"""After asking for work, nobody can have thought that there is none for so long."""
_TRAINING_POLL_SECONDS = 1.0
"""A job takes minutes."""
_FILES_AT_ONCE = 2
"""Jobs whose files one process reads at a time."""
_RUNS_AT_ONCE = 500
"""Runs that one process leads: mostly it waits for others, who grade."""
# Pending work of another version is not taken, so this changes only when workflows cannot go on where others left.
_VERSION = "1"
_SQLITE_WITH_SUBSECONDS = (3, 42)

RunWorkflow = Callable[[str], Awaitable[None]]
ChunkWorkflow = Callable[[str, int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningWorkflows:
    """The workflows of fine-tuning jobs."""

    read_files: Callable[[str], Awaitable[None]]
    train: Callable[[str, int], Awaitable[None]]
    slots: int
    """Jobs that this process trains at a time; with 0 it leaves them to others."""


class _JsonSerializer(Serializer):
    """JSON in place of DBOS's default, which is pickle: whoever can write the database must not run code."""

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):  # what a workflow ended with; it is only ever looked at by people
            data = {_RAISED: f"{type(data).__name__}: {data}"}
        return dumps(data).decode()

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805 - named so in the base class
        data = loads(serialized_data.encode())
        return RuntimeError(data[_RAISED]) if isinstance(data, dict) and _RAISED in data else data

    def name(self) -> str:
        return "regrade_json"


def sqlite_engine(path: Path) -> sa.Engine:
    """DBOS's own file. WAL makes its steps 14 times faster than what it sets up by itself.

    On PostgreSQL it shares our database, in a schema of its own.
    """
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=8, max_overflow=8)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if sqlite3.sqlite_version_info < _SQLITE_WITH_SUBSECONDS:
            connection.create_function("unixepoch", 1, _unix_epoch)

    return engine


def _unix_epoch(_modifier: str) -> float:
    """What DBOS's tables call as unixepoch('subsec') where Python is new; an older SQLite answers null to that."""
    return time.time_ns() // 1_000_000 / 1000


def migrate(engine: sa.Engine) -> None:
    """Create or upgrade DBOS's tables, under its lock; the client needs them before any worker has started."""
    with engine.connect():  # sets WAL before DBOS opens the file its own way
        pass
    DBOS.migrate(engine.url.render_as_string(hide_password=False), schema=_SCHEMA)


class DbosQueue:
    """ports.Engine: asks for workflows, from any process."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine, dbos_system_schema=_SCHEMA, serializer=_JsonSerializer()
        )
        self._asked_at: float | None = None

    def start_run(self, run_id: str) -> None:
        """Ask for the workflow that plans a run and leads it."""
        self._wake()
        self._enqueue(_RUN, f"run:{run_id}", 1, run_id)

    def start_chunks(self, run_id: str, ks: Sequence[int]) -> None:
        """Ask for the workflows that grade chunks; priority by number lets a short run pass a long one."""
        for k in ks:
            self._enqueue(_CHUNK, f"run:{run_id}:{k}", k + 2, run_id, k)

    def start_job(self, job_id: str, round_: int, *, training: bool) -> None:
        """Ask for the workflow that reads a job's files, or for the one that trains it; those wait for a slot."""
        self._wake()
        if training:
            self._enqueue(_TRAIN, f"job:{job_id}:{round_}", 1, job_id, round_)
        else:
            self._enqueue(_FILES, f"job:{job_id}:files", 1, job_id)

    def forget_ended(self, *, before: int, limit: int) -> None:
        """Delete the records of workflows that ended before then; DBOS would keep them for ever."""
        ended = self._client.list_workflows(
            completed_before=datetime.fromtimestamp(before, UTC).isoformat(),
            limit=limit,
            load_input=False,
            load_output=False,
        )
        if ended:
            self._client.delete_workflows([workflow.workflow_id for workflow in ended])

    def adopt(self, alive: Callable[[], Collection[str]]) -> int:
        """Put back into the queues what processes had taken that are not `alive`; how many workflows that were."""
        # Asked in this order: whoever takes work is alive from before that.
        taken = self._client.list_workflows(status="PENDING", load_input=False, load_output=False)
        if not taken:
            return 0
        living = alive()
        orphans = [workflow for workflow in taken if workflow.executor_id not in living]
        for name, queue in _QUEUE_OF.items():
            of_queue = [workflow.workflow_id for workflow in orphans if workflow.name == name]
            if of_queue:
                self._client.resume_workflows(of_queue, queue_name=queue)
        return len(orphans)

    def keep_pace(self, *, since: int) -> None:
        """Have all processes look often while there is work or some was asked for since then, and else seldom."""
        recent = datetime.fromtimestamp(since, UTC).isoformat()
        busy = any(
            self._client.list_workflows(limit=1, load_input=False, load_output=False, **which)
            for which in ({"status": ["ENQUEUED", "PENDING"]}, {"start_time": recent})
        )
        self._look_every(_POLL_SECONDS if busy else _QUIET_POLL_SECONDS)

    def prepare(self, *, chunks: int, training: int) -> None:
        """Say how much each process takes from the queues; those that train nothing leave the last two alone."""
        for name, most, poll in (
            (_RUNS, _RUNS_AT_ONCE, _POLL_SECONDS),
            (_CHUNKS, chunks, _POLL_SECONDS),
            (_TRAINING_FILES, training and _FILES_AT_ONCE, _POLL_SECONDS),
            (_TRAINING, training, _TRAINING_POLL_SECONDS),
        ):
            if most:
                self._client.register_queue(name, worker_concurrency=most, polling_interval_sec=poll)

    def _wake(self) -> None:
        """Have all processes look often, now that there is work."""
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at > _AWAKE_SECONDS:
            self._look_every(_POLL_SECONDS)
        self._asked_at = now

    def _look_every(self, seconds: float) -> None:
        for name in (_RUNS, _CHUNKS, _TRAINING_FILES):
            queue = self._client.retrieve_queue(name)  # none before the first worker
            if queue is not None and queue.polling_interval_sec != seconds:
                queue.set_polling_interval_sec(seconds)

    def _enqueue(self, workflow: str, workflow_id: str, priority: int, *arguments: str | int) -> None:
        self._client.enqueue(
            {
                "queue_name": _QUEUE_OF[workflow],
                "workflow_name": workflow,
                "workflow_id": workflow_id,
                "app_version": _VERSION,
                "priority": priority,
            },
            *arguments,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()


def launch(
    engine: sa.Engine, *, executor: str, run: RunWorkflow, chunk: ChunkWorkflow, tuning: TuningWorkflows
) -> Callable[[], None]:
    """Take work in this process, on the running event loop, under a name that no other process has had.

    What comes back stops that; what was taken goes on.
    """
    config: DBOSConfig = {
        "name": "regrade",
        "system_database_engine": engine,
        "dbos_system_schema": _SCHEMA,
        "serializer": _JsonSerializer(),
        "application_version": _VERSION,
        "executor_id": executor,
        "log_level": "ERROR",  # of a database that is away the heartbeat speaks, once and not at each poll
        "enable_otlp": False,
        "scheduler_polling_interval_sec": 3600.0,
    }
    dbos = DBOS(config=config)

    # Functions of their own, because DBOS marks what it registers and a method cannot be marked.
    async def run_workflow(run_id: str) -> None:
        await run(run_id)

    async def chunk_workflow(run_id: str, k: int) -> None:
        await chunk(run_id, k)

    # Taking work up again is always right (each workflow asks what is done), however often a process dies.
    DBOS.workflow(name=_RUN, max_recovery_attempts=None)(run_workflow)
    DBOS.workflow(name=_CHUNK, max_recovery_attempts=None)(chunk_workflow)
    _register_tuning(tuning)
    DBOS.listen_queues([_RUNS, _CHUNKS, *([_TRAINING_FILES, _TRAINING] if tuning.slots else [])])
    DBOS.launch()

    def take_no_more() -> None:
        for stop in dbos.background_thread_stop_events:
            stop.set()

    return take_no_more


def _register_tuning(tuning: TuningWorkflows) -> None:
    async def files_workflow(job_id: str) -> None:
        await tuning.read_files(job_id)

    async def train_workflow(job_id: str, round_: int) -> None:
        await tuning.train(job_id, round_)

    DBOS.workflow(name=_FILES, max_recovery_attempts=None)(files_workflow)
    DBOS.workflow(name=_TRAIN, max_recovery_attempts=None)(train_workflow)
