"""The outside world of one process: what the settings name, opened; for servers, workers and commands."""

import os
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy as sa

from regrade import __version__, server_lock
from regrade import settings as options
from regrade.core.addresses import Allowed
from regrade.core.errors import ConfigurationError
from regrade.core.metrics import DATABASE_WRITES, Metrics, Series
from regrade.core.training_options import TrainingOptions, read_training
from regrade.inference.local import host as local_engine
from regrade.outbound import Outbound
from regrade.ports.blobs import Blobs
from regrade.ports.tracing import NoTraces, Tracing
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.sandbox import PythonSandbox
from regrade.services.keys import Keys
from regrade.services.log_import import LogImport
from regrade.services.monitoring import Monitoring
from regrade.settings import Settings
from regrade.store.backup import EmbeddedStore
from regrade.store.blobs import DiskBlobs
from regrade.store.chunks import SqlChunks
from regrade.store.creations import SqlCreations
from regrade.store.database import Database, postgres_engine, sqlite_engine
from regrade.store.evals import SqlEvals
from regrade.store.figures import SqlFigures
from regrade.store.files import SqlFiles
from regrade.store.fine_tuned_models import SqlFineTunedModels
from regrade.store.fine_tuning import SqlFineTuning
from regrade.store.keys import SqlKeys
from regrade.store.limit_claims import SqlLimitLedger
from regrade.store.marker import BlobMarker
from regrade.store.output_items import SqlOutputItems
from regrade.store.runs import SqlRuns
from regrade.store.schema import look, upgrade
from regrade.store.stored_objects import SqlStoredObjects
from regrade.store.uploads import SqlUploads
from regrade.store.webhook_deliveries import SqlWebhookDeliveries
from regrade.store.webhook_endpoints import SqlWebhookEndpoints
from regrade.store.workers import SqlWorkers
from regrade.system import SystemClock, SystemIds
from regrade.training.launcher import Launcher, TrainedHere

# DBOS and aiohttp are half of what there is to import, and most commands need neither.
if TYPE_CHECKING:
    from regrade.inference.client import Models as ModelClient

_ENGINE_CONNECTIONS = 8
"""To PostgreSQL, at most; besides, a worker's engine keeps one on which it listens."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside world of one process: everything that is handed in."""

    settings: Settings
    clock: SystemClock
    ids: SystemIds
    database: Database
    blobs: Blobs
    marker: BlobMarker
    evals: SqlEvals
    runs: SqlRuns
    chunks: SqlChunks
    output_items: SqlOutputItems
    files: SqlFiles
    uploads: SqlUploads
    keys: SqlKeys
    creations: SqlCreations
    stored_objects: SqlStoredObjects
    limits: SqlLimitLedger
    fine_tuning: SqlFineTuning
    fine_tuned_models: SqlFineTunedModels
    training: TrainingOptions
    trainers: Launcher
    webhook_endpoints: SqlWebhookEndpoints
    webhook_deliveries: SqlWebhookDeliveries
    outbound: Outbound
    """To the clients' webhooks."""
    images: Outbound
    """To images of training rows."""
    workers: SqlWorkers
    metrics: Metrics
    monitoring: Monitoring
    tracing: Tracing

    def close(self) -> None:
        """Give everything back."""
        self.tracing.flush()
        self.database.close()


def open_outside(settings: Settings) -> Outside:
    """Open the stores of a data directory, upgrading them first where they are older than this program."""
    # SQLite, Python and the blobs would each make files that others can read where the folder lets them.
    os.umask(0o077)
    server_lock.open_data_dir(settings.data_dir)
    metrics = Metrics()
    database = _database(settings, metrics.of(DATABASE_WRITES))
    upgrade(database)
    clock = SystemClock()
    ids = SystemIds(clock)
    blobs = open_blobs(settings)
    training = read_training(settings.registry)
    return Outside(
        settings=settings,
        clock=clock,
        ids=ids,
        database=database,
        blobs=blobs,
        marker=BlobMarker(database, blobs, blobs_place(settings)),
        evals=SqlEvals(database),
        runs=SqlRuns(database),
        chunks=SqlChunks(database),
        output_items=SqlOutputItems(database),
        files=SqlFiles(database),
        uploads=SqlUploads(database),
        keys=SqlKeys(database),
        creations=SqlCreations(database),
        stored_objects=SqlStoredObjects(database),
        limits=SqlLimitLedger(database),
        fine_tuning=SqlFineTuning(database),
        fine_tuned_models=SqlFineTunedModels(database),
        training=training,
        trainers=Launcher(_jobs_folder(settings, training), training),
        webhook_endpoints=SqlWebhookEndpoints(database),
        webhook_deliveries=SqlWebhookDeliveries(database),
        outbound=_open_outbound(settings, http=settings.webhook_http),
        images=_open_outbound(settings, http=True),
        workers=SqlWorkers(database),
        metrics=metrics,
        tracing=_open_tracing(settings),
        monitoring=Monitoring(metrics, SqlFigures(database), ids.uuid4(), __version__),
    )


def _open_outbound(settings: Settings, *, http: bool) -> Outbound:
    named = settings.webhook_private_networks
    return Outbound(allowed=Allowed.read(named.split(",")) if named else None, http=http)


def _open_tracing(settings: Settings) -> Tracing:
    if settings.traces == "off":
        return NoTraces()
    try:
        from regrade.tracing import OtlpTraces  # of the extra `otel`
    except ImportError as error:
        raise ConfigurationError(
            "--traces otlp needs packages that are not installed. Try: pip install 'regrade[otel]'", param="traces"
        ) from error
    return OtlpTraces()


def _database(settings: Settings, writes: Series | None = None) -> Database:
    if settings.on_postgres:
        return Database(postgres_engine(settings.database_url), writes)
    return Database(sqlite_engine(settings.data_dir / "regrade.sqlite3"), writes)


def look_at_database(settings: Settings) -> str:
    """What there is to say of the database, changing nothing. Raises ConfigurationError if it cannot be used."""
    with closing(_database(settings)) as database:
        version = look(database)
        with database.read() as connection:
            program = ".".join(map(str, connection.dialect.server_version_info or ()))
    return f"{program}, {f'schema {version}' if version else 'empty yet; the server makes its tables'}"


def _jobs_folder(settings: Settings, training: TrainingOptions) -> Path:
    """Where trainers work and their models stay; shared, where several machines are to train."""
    beside = settings.config.parent if settings.config else settings.data_dir
    return beside / training.folder if training.folder else settings.data_dir / "fine_tuning"


def server_url(settings: Settings, *, far: bool) -> str:
    """Where a trainer finds the server, which may be on another machine.

    `far` is a trainer that the operator's command starts: where, is not known.
    """
    running = server_lock.find(settings.data_dir)
    if settings.public_url and (far or running is None):
        return settings.public_url
    return running.url if running else settings.local_url()


def open_engine(settings: Settings) -> sa.Engine:
    """Where DBOS keeps its tables: its many small commits never wait for our large ones, on SQLite not either."""
    if settings.on_postgres:
        return postgres_engine(settings.database_url, connections=_ENGINE_CONNECTIONS)
    from regrade.engine import sqlite_engine as engine_of_dbos

    return engine_of_dbos(settings.data_dir / "engine.sqlite3")


def blobs_place(settings: Settings) -> str:
    """Where the blobs lie, for a person."""
    return settings.blobs or f"file://{settings.data_dir / 'blobs'}"


def open_blobs(settings: Settings) -> Blobs:
    """The blobs that the settings name. Raises ConfigurationError."""
    url = urlsplit(blobs_place(settings))
    if url.scheme == "file":
        try:
            return DiskBlobs(Path(url.path))
        except OSError as error:
            raise ConfigurationError(
                f"The folder {url.path} of --blobs cannot be made or written ({error.strerror}).", param="blobs"
            ) from error
    try:
        from regrade.store.bucket import BucketBlobs  # of the extra `bucket`
    except ImportError as error:
        raise ConfigurationError(
            f"--blobs {settings.blobs} needs a package that is not installed. Try: pip install 'regrade[bucket]'",
            param="blobs",
        ) from error
    return BucketBlobs(blobs_place(settings), options.cloud_variables(url.scheme), settings.data_dir)


def open_models(
    world: Outside,
    *,
    url: str | None = None,
    most_at_once: int | None = None,
    gate: Callable[[], Awaitable[None]] | None = None,
) -> "ModelClient":
    """The models that this process can ask, once its event loop has started them.

    `url` is where this server answers, `most_at_once` is how many calls of a model this process has in flight,
    `gate` is awaited before each request. What endpoints allow is shared with all who use the same store.
    Raises ConfigurationError where regrade.toml describes the endpoints wrongly.
    """
    from regrade.inference.cache import ResponseCache
    from regrade.inference.client import Models as ModelClient
    from regrade.inference.registry import Registry
    from regrade.inference.retry import Policy

    settings = world.settings
    own_urls = [each for each in (url, settings.public_url, settings.local_url()) if each]
    config = settings.config or options.config_file()
    size = settings.response_cache_bytes
    models = ModelClient(
        Registry(
            config,
            variable=options.variable,
            own_urls=own_urls,
            tuned=TrainedHere(world.fine_tuned_models, world.trainers),
            built_in=local_engine.endpoint(settings.data_dir) if local_engine.installed() else None,
        ),
        clock=world.clock,
        jitter=random.random,
        policy=Policy(
            attempts=settings.model_attempts,
            timeout_s=settings.model_timeout,
            patience_s=settings.model_patience,
            most_at_once=most_at_once,
        ),
        cache=ResponseCache(settings.data_dir / "response_cache.sqlite3", max_bytes=size) if size else None,
        ledger=world.limits,
        process=world.ids.uuid4(),
        gate=gate,
    )
    models.count_in(world.metrics)
    models.trace_with(world.tracing)
    return models


def start_local_models(settings: Settings) -> local_engine.EngineHost | None:
    """From now on this machine runs models itself when they are asked for, if that is installed."""
    if not local_engine.installed():
        return None
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    host = local_engine.EngineHost(
        settings.data_dir,
        local_engine.Options(
            memory=settings.local_models_memory or machine // 2,
            idle_s=settings.local_models_idle,
            threads=settings.local_models_threads,
            log_level=settings.log_level,
            log_format=settings.log_format,
        ),
        options.engine_environment(),
    )
    host.start()
    return host


def sandbox_options(settings: Settings) -> SandboxOptions:
    """What the settings say about python graders."""
    return SandboxOptions(
        directory=settings.data_dir / "graders",
        level="unsafe" if settings.unsafe_python_graders else settings.python_sandbox,
        isolation=settings.python_grader_isolation,
        workers=settings.python_grader_workers or os.cpu_count() or 1,
        timeout_s=settings.python_grader_timeout,
        memory=settings.python_grader_memory,
        scratch=settings.python_grader_scratch,
        hidden=tuple(path for path in (settings.data_dir, settings.config) if path is not None),
    )


def open_sandbox(settings: Settings, metrics: Metrics | None = None) -> PythonSandbox:
    """Where this process runs python graders; what that is like here is found out when it is first needed."""
    return PythonSandbox(sandbox_options(settings), metrics or Metrics())


@contextmanager
def open_keys(settings: Settings) -> Iterator[Keys]:
    """The keys of a data directory, before and beside a server."""
    with closing(open_outside(settings)) as world:
        yield Keys(world.keys, world.clock, world.ids)


@contextmanager
def open_embedded(settings: Settings) -> Iterator[EmbeddedStore]:
    """The store of a data directory as a whole, to back it up or to restore it."""
    if settings.on_postgres:
        raise ConfigurationError(
            "This copies the embedded store, and --database-url names PostgreSQL. Back that up with its own tools"
            " (pg_dump), and after it the place of --blobs.",
            param="database_url",
        )
    os.umask(0o077)
    yield EmbeddedStore(settings.data_dir, open_blobs(settings), SystemClock())


@contextmanager
def open_log_import(settings: Settings) -> Iterator[LogImport]:
    """The way into the stored completions and responses of a data directory, beside a server too."""
    with closing(open_outside(settings)) as world:
        yield LogImport(world.stored_objects, world.clock)
