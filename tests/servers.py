"""Real servers for tests: `regrade serve` as a process of its own, on a directory and a port of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI

START_SECONDS = 60


class Server:
    """A running `regrade serve`."""

    def __init__(self, data_dir: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "regrade", "serve", "--data-dir", str(data_dir), "--port", "0", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=data_dir.parent,
        )
        self.errors: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()
        self.url = self._wait()

    def _collect(self) -> None:
        self.errors.extend(self.process.stderr)
        self.process.stderr.close()

    def _wait(self) -> str:
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        ready = None
        for line in self.process.stdout:
            ready = re.search(r"\bready\b.*?(http://\S+)", line)
            if ready:
                break
        timer.cancel()
        if ready is None:
            raise RuntimeError(f"the server did not start: {''.join(self.errors)}")
        threading.Thread(target=self._drain, daemon=True).start()
        return ready[1]

    def _drain(self) -> None:
        self.process.stdout.read()
        self.process.stdout.close()

    def client(self, key: str = "unused", **options) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)

    def kill(self) -> None:
        """As the power button does: the server gets no word."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(data_dir: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    server = Server(data_dir, *flags, env=env)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
