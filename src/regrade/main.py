"""The server, composed: settings, the outside world, services, the application. The only place where they meet."""

import asyncio
import gc
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from ipaddress import ip_address
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from regrade import engine, server_lock
from regrade.api.app import AppOptions, build_app
from regrade.api.context import Services
from regrade.api.edge import EdgeOptions
from regrade.api.protocol import BoundedHttp
from regrade.core.errors import ConfigurationError
from regrade.inference.client import Models as ModelClient
from regrade.inference.threads import ModelsFromThreads
from regrade.outside import Outside, open_engine, open_models, open_outside, open_sandbox, start_local_models
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
from regrade.services.models import Models
from regrade.services.output_items import OutputItems
from regrade.services.readiness import Check, Readiness
from regrade.services.request_files import RequestFiles
from regrade.services.responses import Responses
from regrade.services.rewards import Rewards
from regrade.services.run_definitions import RunDefinitions
from regrade.services.runs import Runs
from regrade.services.tuning_definitions import TuningDefinitions
from regrade.services.uploads import Uploads
from regrade.services.webhook_endpoints import WebhookEndpoints
from regrade.settings import Settings
from regrade.store.schema import VERSIONS, look
from regrade.supervisor import Supervisor
from regrade.types.json import JsonObject
from regrade.web import routes as web

_WORKERS_READY_SECONDS = 60.0
_ANSWERS_SECONDS = 10
"""For answers that are under way when the server is told to stop."""
_BACKLOG = 2048


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
            nobody_trains=lambda: why_nobody_trains(world),
            engine=queue,
            ids=ids,
            clock=clock,
        ),
        checkpoint_permissions=CheckpointPermissions(world.fine_tuned_models, ids, clock),
        rewards=Rewards(world.fine_tuning, ModelsFromThreads(models), SandboxFromThreads(sandbox, models.loop)),
        webhook_endpoints=WebhookEndpoints(world.webhook_endpoints, world.outbound, ids, clock),
        chat_completions=ChatCompletions(models, world.stored_objects, request_files, tuned, ids, clock),
        responses=Responses(models, world.stored_objects, request_files, tuned, ids, clock),
        embeddings=Embeddings(models, tuned),
        keys=Keys(world.keys, clock, ids),
        creations=Creations(world.creations, clock),
    )


def why_nobody_trains(world: Outside) -> str | None:
    """Why a fine-tuning job would wait in vain; None where a machine trains, or is about to."""
    if world.workers.somebody_trains():
        return None
    if world.settings.train is not False and world.settings.workers:
        return world.trainers.missing
    return (
        "No machine of this server trains models now. Its operator starts one with `regrade worker --train`, or "
        "lets the server's own workers do it."
    )


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
        try:
            require_loopback_where_needed(settings, keys, listener.getsockname()[0])
        except ConfigurationError:
            listener.close()
            raise
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
    gc.freeze()  # all that was built stays
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


def require_loopback_where_needed(settings: Settings, keys: Keys, address: str) -> None:
    """Raises ConfigurationError where strangers could reach what only this machine may.

    The address counts, not its name: `127.example.com` may lead anywhere.
    """
    if ip_address(address).is_loopback:
        return
    if keys.open():
        raise ConfigurationError(
            f"Without keys this server answers on loopback only, and --host is {settings.host}. Make a key first: "
            "regrade keys create --project default --admin",
            param="host",
        )
    if settings.unsafe_python_graders:
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
