"""`regrade serve`: the API, the report pages and the processes that grade."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from regrade import __version__, settings
from regrade.cli.options import Blobs, Config, DatabaseUrl, DataDir, setting


def serve(
    host: Annotated[str | None, setting("host")] = None,
    port: Annotated[int | None, setting("port")] = None,
    workers: Annotated[int | None, setting("workers")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    concurrency: Annotated[int | None, setting("concurrency")] = None,
    train: Annotated[bool | None, setting("train")] = None,
    worker_takeover_seconds: Annotated[int | None, setting("worker_takeover_seconds")] = None,
    shutdown_seconds: Annotated[int | None, setting("shutdown_seconds")] = None,
    public_url: Annotated[str | None, setting("public_url")] = None,
    log_level: Annotated[str | None, setting("log_level")] = None,
    log_format: Annotated[str | None, setting("log_format")] = None,
    traces: Annotated[str | None, setting("traces")] = None,
    metrics: Annotated[str | None, setting("metrics")] = None,
    admin_key_file: Annotated[Path | None, setting("admin_key_file")] = None,
    blobs: Blobs = None,
    max_body_bytes: Annotated[str | None, setting("max_body_bytes", "64 MiB")] = None,
    max_row_bytes: Annotated[str | None, setting("max_row_bytes", "16 MiB")] = None,
    max_file_bytes: Annotated[str | None, setting("max_file_bytes", "512 MiB")] = None,
    max_part_bytes: Annotated[str | None, setting("max_part_bytes", "64 MiB")] = None,
    max_upload_bytes: Annotated[str | None, setting("max_upload_bytes", "8 GiB")] = None,
    model_attempts: Annotated[int | None, setting("model_attempts")] = None,
    model_timeout: Annotated[int | None, setting("model_timeout")] = None,
    model_patience: Annotated[int | None, setting("model_patience")] = None,
    webhook_private_networks: Annotated[str | None, setting("webhook_private_networks")] = None,
    webhook_http: Annotated[bool | None, setting("webhook_http")] = None,
    response_cache_bytes: Annotated[str | None, setting("response_cache_bytes")] = None,
    local_models_memory: Annotated[str | None, setting("local_models_memory")] = None,
    local_models_idle: Annotated[int | None, setting("local_models_idle")] = None,
    local_models_threads: Annotated[int | None, setting("local_models_threads")] = None,
    python_sandbox: Annotated[str | None, setting("python_sandbox")] = None,
    unsafe_python_graders: Annotated[bool | None, setting("unsafe_python_graders")] = None,
    python_grader_isolation: Annotated[str | None, setting("python_grader_isolation")] = None,
    python_grader_workers: Annotated[int | None, setting("python_grader_workers")] = None,
    python_grader_timeout: Annotated[int | None, setting("python_grader_timeout")] = None,
    python_grader_memory: Annotated[str | None, setting("python_grader_memory", "2 GiB")] = None,
    python_grader_scratch: Annotated[str | None, setting("python_grader_scratch", "1 GiB")] = None,
    until_stdin_closes: Annotated[
        bool,
        typer.Option("--until-stdin-closes", help="Stop when standard input closes: for programs that start us."),
    ] = False,
) -> None:
    """Start the server. It needs no other service: SQLite and files in the data directory, unless told otherwise.

    Every option can also be given in the environment (REGRADE_PORT ...) and in regrade.toml.
    """
    started = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        # To be told to stop is no failure. uvicorn hands the signal on once it has answered what was under way.
        signal.signal(number, _end)
    flags = {key: value for key, value in locals().items() if key in settings.options() or key == "config"}
    found = settings.load(flags)
    if until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()

    from regrade import logs, main

    logs.configure(found.log_level, found.log_format)

    def on_ready(url: str) -> None:
        sys.stdout.write(start_up_text(found, url, time.monotonic() - started))
        sys.stdout.flush()

    raise typer.Exit(main.serve(found, on_ready=on_ready))


def start_up_text(found: settings.Settings, url: str, seconds: float) -> str:
    """What a person needs first; tools wait for the line that begins with `ready`."""
    rows = [
        ("API", f"{url}/v1", "set base_url to this"),
        ("Data", _short(found.data_dir), _kept(found)),
        *([("Files", found.blobs, "of all servers and workers of this database")] if found.blobs else []),
        ("Models", *_models(found)),
        ("Try", "regrade demo", "grades 60 support tickets, no model needed"),
    ]
    width = max(len(value) for _, value, _ in rows)
    body = "".join(f"  {title:<8}{value:<{width}}   {note}\n" for title, value, note in rows)
    return f"regrade {__version__}\n{body}ready {url} in {seconds:.1f} s\n"


def _models(found: settings.Settings) -> tuple[str, str]:
    names = [str(endpoint.get("name")) for endpoint in found.registry.get("endpoints", ())]
    if names:
        return ", ".join(names), "regrade models list shows what they serve"
    return "none", "regrade models add adds an endpoint; recorded answers need none"


def _kept(found: settings.Settings) -> str:
    return "files; the rest in PostgreSQL" if found.on_postgres else "SQLite and files, no other service needed"


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(0)


def _stop_with_stdin() -> None:
    # Unbuffered, and below sys.stdin: a daemon thread must not hold its lock when the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
