"""A server for one command: found on the data directory, or started for it and ended with it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrade import server_lock
from regrade.cli.failures import CommandError, ExitCode
from regrade.settings import Settings, child_environment

LOG = "embedded-server.log"
_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 15
_POLL_S = 0.05


@contextmanager
def server_on(settings: Settings) -> Iterator[str]:
    """The URL of the server that runs on the data directory, or of one that ends with the block."""
    running = server_lock.find(settings.data_dir)
    if running:
        yield running.url
        return
    log = server_lock.open_data_dir(settings.data_dir) / LOG
    with open(log, "wb", opener=_for_owner) as output:
        child = subprocess.Popen(  # noqa: S603 - our own program
            _command(settings),
            # The child ends when this pipe closes, so it does not outlive us even if we are killed. A session of
            # its own keeps a Ctrl-C in the terminal from it: we still need it to cancel the run.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=child_environment(settings),
            start_new_session=True,
        )
    try:
        yield _wait_until_found(child, settings.data_dir, log)
    finally:
        child.terminate()
        try:
            child.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _command(settings: Settings) -> list[str]:
    command = [sys.executable, "-m", "regrade", "serve", "--until-stdin-closes"]
    command += ["--host", settings.host, "--port", str(settings.port), "--data-dir", str(settings.data_dir)]
    command += ["--log-level", settings.log_level, "--workers", str(max(settings.workers, 1))]
    if settings.config:
        command += ["--config", str(settings.config)]
    if settings.blobs:
        command += ["--blobs", settings.blobs]
    if settings.public_url:
        command += ["--public-url", settings.public_url]
    return command


def _wait_until_found(child: subprocess.Popen[bytes], data_dir: Path, log: Path) -> str:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        running = server_lock.find(data_dir)
        if running:
            return running.url
        if child.poll() is not None:
            told = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise CommandError(
                "\n  ".join(["The server for this command did not start.", *told]), exit_code=ExitCode.UNFINISHED
            )
        time.sleep(_POLL_S)
    raise CommandError(
        f"The server for this command did not answer within {_START_TIMEOUT_S} s; {log} says more.",
        exit_code=ExitCode.UNFINISHED,
    )
