"""The composition root: settings, the outside world, services, the application. The only place where they meet."""

import asyncio
import logging
import os
import random
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import sqlalchemy as sa
import uvicorn
from starlette.types import ASGIApp

from regrade import __version__, engine, server_lock
from regrade import settings as options
from regrade.api.app import AppOptions, build_app
from regrade.api.context import Services
from regrade.api.edge import EdgeOptions
from regrade.api.protocol import BoundedHttp
from regrade.core.errors import ConfigurationError
from regrade.core.metrics import DATABASE_WRITES, Metrics, Series
from regrade.core.training_options import TrainingOptions, read_training
from regrade.inference.cache import ResponseCache
from regrade.inference.client import Models as ModelClient
from regrade.inference.local import host as local_engine
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.inference.threads import ModelsFromThreads
from regrade.ports.blobs import Blobs
from regrade.ports.tracing import NoTraces, Tracing
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.sandbox import PythonSandbox
from regrade.sandbox.threads import SandboxFromThreads
from regrade.services.chat_completions import ChatCompletions
from regrade.services.checkpoint_permissions import CheckpointPermissions
from regrade.services.creations import Creations
from regrade.services.embeddings import Embeddings
from regrade.services.evals import Evals
from regrade.services.files import Files
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.services.fine_tuning import FineTuning
from regrade.services.graders import Graders
from regrade.services.keys import Keys
from regrade.services.log_import import LogImport
from regrade.services.models import Models
from regrade.services.monitoring import Monitoring
from regrade.services.output_items import OutputItems
from regrade.services.readiness import Check, Readiness
from regrade.services.request_files import RequestFiles
from regrade.services.responses import Responses
from regrade.services.rewards import Rewards
from regrade.services.run_definitions import RunDefinitions
from regrade.services.runs import Runs
from regrade.services.tuning_definitions import TuningDefinitions
from regrade.services.uploads import Uploads
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
from regrade.store.schema import VERSIONS, look, upgrade
from regrade.store.stored_objects import SqlStoredObjects
from regrade.store.uploads import SqlUploads
from regrade.store.workers import SqlWorkers
from regrade.supervisor import Supervisor
from regrade.system import SystemClock, SystemIds
from regrade.training.launcher import Launcher, TrainedHere
from regrade.types.json import JsonObject
from regrade.web import routes as web

_WORKERS_READY_SECONDS = 60.0
_ANSWERS_SECONDS = 10
"""For answers that are under way when the server is told to stop."""
_BACKLOG = 2048


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
        workers=SqlWorkers(database),
        metrics=metrics,
        tracing=_open_tracing(settings),
        monitoring=Monitoring(metrics, SqlFigures(database), ids.uuid4(), __version__),
    )


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
    """Where a trainer finds the server: one that the operator's command starts may be `far`, on another machine."""
    if far and settings.public_url:
        return settings.public_url
    running = server_lock.find(settings.data_dir)
    return running.url if running else settings.local_url()


def open_engine(settings: Settings) -> sa.Engine:
    """Where DBOS keeps its tables: its many small commits never wait for our large ones, on SQLite not either."""
    if settings.on_postgres:
        return postgres_engine(settings.database_url)
    return engine.sqlite_engine(settings.data_dir / "engine.sqlite3")


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
) -> ModelClient:
    """The models that this process can ask, once its event loop has started them.

    `url` is where this server answers, `most_at_once` is how many calls of a model this process has in flight,
    `gate` is awaited before each request. What endpoints allow is shared with all who use the same store.
    Raises ConfigurationError where regrade.toml describes the endpoints wrongly.
    """
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


def build_services(
    world: Outside, queue: engine.DbosQueue, models: ModelClient, sandbox: PythonSandbox, public_url: str
) -> Services:
    """The services of a server."""
    clock, ids = world.clock, world.ids
    request_files = RequestFiles(world.files, world.blobs, clock)
    tuned = FineTunedModels(world.fine_tuned_models, models, clock)
    runs = Runs(
        evals=world.evals,
        runs=world.runs,
        definitions=RunDefinitions(world.files, world.blobs, models, sandbox, tuned, clock),
        blobs=world.blobs,
        engine=queue,
        ids=ids,
        clock=clock,
        public_url=public_url,
    )
    return Services(
        evals=Evals(world.evals, sandbox, ids, clock),
        runs=runs,
        output_items=OutputItems(runs, world.output_items),
        files=Files(world.files, world.blobs, clock, ids, max_bytes=world.settings.max_file_bytes),
        uploads=Uploads(
            world.uploads,
            world.files,
            world.blobs,
            clock,
            ids,
            max_bytes=world.settings.max_upload_bytes,
            max_part_bytes=world.settings.max_part_bytes,
        ),
        graders=Graders(ModelsFromThreads(models), SandboxFromThreads(sandbox, models.loop), tuned),
        models=Models(models, tuned),
        fine_tuning=FineTuning(
            store=world.fine_tuning,
            evals=world.evals,
            definitions=TuningDefinitions(world.files, models, sandbox, tuned, clock),
            trainers=world.trainers,
            engine=queue,
            ids=ids,
            clock=clock,
        ),
        checkpoint_permissions=CheckpointPermissions(world.fine_tuned_models, ids, clock),
        rewards=Rewards(world.fine_tuning, ModelsFromThreads(models), SandboxFromThreads(sandbox, models.loop)),
        chat_completions=ChatCompletions(models, world.stored_objects, request_files, tuned, ids, clock),
        responses=Responses(models, world.stored_objects, request_files, tuned, ids, clock),
        embeddings=Embeddings(models, tuned),
        keys=Keys(world.keys, clock, ids),
        creations=Creations(world.creations, clock),
    )


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


def serve(settings: Settings, on_ready: Callable[[str], None]) -> int:
    """Serve until told to stop; `on_ready` gets the URL once everything answers. The exit status.

    Raises ConfigurationError where the settings do not allow a start.
    """
    with server_lock.hold(settings.data_dir), closing(open_outside(settings)) as world:
        world.marker.establish(world.ids.secret())
        world.blobs.clean()
        keys = Keys(world.keys, world.clock, world.ids)
        _make_first_key(settings, keys)
        listener = _listen(settings.host, settings.port)
        require_keys_off_loopback(settings, keys, listener)
        require_loopback_for_unsafe_graders(settings, listener)
        url = settings.local_url(listener.getsockname()[1])
        models = open_models(world, url=url)
        engine_of_queue = open_engine(settings)
        engine.migrate(engine_of_queue)
        queue = engine.DbosQueue(engine_of_queue)
        sandbox = open_sandbox(settings, world.metrics)
        identity = server_lock.identity(settings.data_dir, new=world.ids.uuid4())
        world.workers.end_of_server(identity)
        supervisor = Supervisor(identity, settings.workers, _flags(settings), grace=settings.shutdown_seconds)
        supervisor.start()
        engine_host = start_local_models(settings)
        try:
            finding = threading.Thread(target=lambda: sandbox.level, name="sandbox", daemon=True)
            finding.start()
            world.monitoring.start()
            services = build_services(world, queue, models, sandbox, settings.public_url or url)
            app = build_app(
                services,
                AppOptions(
                    ids=world.ids,
                    clock=world.clock,
                    edge=EdgeOptions(max_body_bytes=settings.max_body_bytes, public_url=settings.public_url),
                    metrics=world.metrics,
                    tracing=world.tracing,
                    metrics_text=world.monitoring.text,
                    metrics_readers=settings.metrics,
                    look=Readiness(_checks(world, supervisor, settings.workers), world.clock).look,
                    python_graders=lambda: sandbox.level_found or "not known yet",
                    web_routes=web.build(
                        services.runs,
                        services.evals,
                        services.output_items,
                        services.fine_tuning,
                        services.keys,
                        world.clock,
                    ),
                ),
            )

            def ready() -> None:
                if not supervisor.wait_until_ready(_WORKERS_READY_SECONDS):
                    logging.getLogger(__name__).error("The workers did not start; runs will wait for them")
                finding.join()
                server_lock.announce(settings.data_dir, url)
                on_ready(url)

            return _serve_app(app, listener, settings, ready, supervisor, models)
        finally:
            supervisor.stop()
            world.monitoring.stop()
            if engine_host is not None:
                engine_host.stop()
            sandbox.close()
            queue.close()
            engine_of_queue.dispose()


def _checks(world: Outside, supervisor: Supervisor, workers: int) -> dict[str, Check]:
    """What /ready looks at. A server with living workers is ready, for the others are started again."""

    def schema() -> str | None:
        found = look(world.database)
        return None if found == VERSIONS[-1] else f"The schema is {found}, and this program needs {VERSIONS[-1]}."

    def living() -> str | None:
        none = workers > 0 and not supervisor.living
        return f"None of the {workers} workers takes work." if none else None

    return {"database": schema, "blobs": world.marker.check, "workers": living}


def _serve_app(
    app: ASGIApp,
    listener: socket.socket,
    settings: Settings,
    ready: Callable[[], None],
    supervisor: Supervisor,
    models: ModelClient,
) -> int:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=min(settings.shutdown_seconds, _ANSWERS_SECONDS),
        backlog=_BACKLOG,
    )
    server = _Server(config, ready, supervisor)

    async def life() -> None:
        async with models:
            await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(life())
    return 0


class _Server(uvicorn.Server):
    """Says when it answers, and passes on that it is to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], supervisor: Supervisor) -> None:
        super().__init__(config)
        self._ready = ready
        self._supervisor = supervisor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # A thread that nobody waits for: who is told to stop does not wait for workers to start.
        threading.Thread(target=self._ready, name="ready", daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop together with the workers; the second signal ends all at once, which is always safe."""
        if self.should_exit:
            os._exit(1)  # the workers end with us
        self._supervisor.tell_to_stop()
        super().handle_exit(sig, frame)


def _flags(settings: Settings) -> JsonObject:
    """The settings as a worker reads them back, through the same parser as flags."""
    given = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name != "registry"}
    return {name: str(value) for name, value in given.items() if value is not None}


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"The address {host}:{port} cannot be listened on ({error.strerror}). "
            f"Choose another, for example --port {port + 1}.",
            param="port",
        ) from error
    listener.set_inheritable(False)
    return listener


def require_keys_off_loopback(settings: Settings, keys: Keys, listener: socket.socket) -> None:
    """Raises ConfigurationError. The address counts, not its name: `127.example.com` may lead anywhere."""
    if keys.open() and not ip_address(listener.getsockname()[0]).is_loopback:
        listener.close()
        raise ConfigurationError(
            f"Without keys this server answers on loopback only, and --host is {settings.host}. Make a key first: "
            "regrade keys create --project default --admin",
            param="host",
        )


def require_loopback_for_unsafe_graders(settings: Settings, listener: socket.socket) -> None:
    """Raises ConfigurationError: unconfined, a grader can do what the server can."""
    if settings.unsafe_python_graders and not ip_address(listener.getsockname()[0]).is_loopback:
        listener.close()
        raise ConfigurationError(
            f"--unsafe-python-graders runs the code of whoever reaches this server, and --host is {settings.host}. "
            "Listen on 127.0.0.1, or leave it out: then Python graders are confined, or refused.",
            param="unsafe_python_graders",
        )


def _make_first_key(settings: Settings, keys: Keys) -> None:
    """Take the operator's own secret as the first admin key, where there is none yet."""
    if settings.admin_key_file is None or not keys.open():
        return
    try:
        secret = settings.admin_key_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The admin key file {settings.admin_key_file} cannot be read ({error.strerror}).",
            param="admin_key_file",
        ) from error
    keys.adopt(secret, project="default", name="admin key file", admin=True)
