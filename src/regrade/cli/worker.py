"""`regrade worker`: a process that grades, beside a server or on another machine."""

from typing import Annotated

from regrade import settings
from regrade.cli.options import Blobs, Config, DatabaseUrl, DataDir, setting


def worker(
    concurrency: Annotated[int | None, setting("concurrency")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    blobs: Blobs = None,
    log_level: Annotated[str | None, setting("log_level")] = None,
    log_format: Annotated[str | None, setting("log_format")] = None,
    traces: Annotated[str | None, setting("traces")] = None,
    train: Annotated[bool | None, setting("train")] = None,
    worker_takeover_seconds: Annotated[int | None, setting("worker_takeover_seconds")] = None,
    shutdown_seconds: Annotated[int | None, setting("shutdown_seconds")] = None,
    max_row_bytes: Annotated[str | None, setting("max_row_bytes", "16 MiB")] = None,
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
) -> None:
    """Grade for the servers that use the same database and the same files; any number may run, anywhere.

    It prints `ready` once it takes work. SIGTERM makes it end what is under way and leave the rest to others. Every
    option can also be given in the environment (REGRADE_CONCURRENCY ...) and in regrade.toml.
    """
    flags = {key: value for key, value in locals().items() if key in settings.options() or key == "config"}
    found = settings.load(flags)

    from regrade import worker as process

    process.run(found)
