"""Real grading processes for tests: `regrade worker`, each with faults of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

from servers import Server

START_SECONDS = 60


class GradingWorker:
    """A running `regrade worker`; `prefix` is what it is started under, such as a clock of its own."""

    def __init__(self, data_dir, *flags, env=None, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "regrade", "worker", "--data-dir", str(data_dir), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=data_dir.parent,
        )
        self.ready = threading.Event()
        self.errors = []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._collect, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            if line == "ready\n":
                self.ready.set()
        self.process.stdout.close()

    def _collect(self):
        self.errors.extend(self.process.stderr)
        self.process.stderr.close()

    def wait_until_ready(self):
        assert self.ready.wait(START_SECONDS), "".join(self.errors)
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def lives(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, seconds=60):
        """As an operator does; its exit status."""
        self.process.terminate()
        return self.process.wait(seconds)


class Wire:
    """A TCP way to a database that listens on a Unix socket; it can be cut without either side hearing of it."""

    def __init__(self, url):
        database, self._path = re.fullmatch(r"postgresql://postgres:@/(\w+)\?host=(.+)", url).groups()
        self._path += "/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://postgres@127.0.0.1:{self._listener.getsockname()[1]}/{database}"
        self._whole = threading.Event()
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """From now on nothing passes; connections stay open."""
        self._whole.clear()

    def mend(self):
        self._whole.set()

    def close(self):
        self._listener.close()
        self._whole.set()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(self._path)
                except OSError:
                    near.close()
                    far.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one, other):
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self._whole.wait()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


ENDPOINT = '[[endpoints]]\nname = "up"\nbase_url = "{url}"\nmodels = ["*"]\nmax_concurrency = {at_once}\n'
CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
SAYS = {
    "type": "string_check",
    "name": "says",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.text}}",
}
ASK = {"type": "template", "template": [{"role": "user", "content": "{{item.text}}"}]}


class Fleet:
    """A server that does the API, alone or with workers of its own, and workers beside it.

    `flags` are those of all workers.
    """

    def __init__(
        self, folder, upstream_url, *flags, database_url="sqlite", at_once=1000, own_workers=0, key="unused"
    ):
        (folder / "regrade.toml").write_text(ENDPOINT.format(url=upstream_url, at_once=at_once))
        self._folder = folder
        self._flags = flags
        self._database_url = database_url
        self.workers = []
        own = ("--workers", str(own_workers), *(flags if own_workers else ()))
        self.server = Server(folder / "data", *own, "--database-url", database_url)
        self.client = self.server.client(key, max_retries=10)

    def add(self, *, database_url=None, data_dir=None, prefix=()):
        """Start another worker; wait for it with `wait_until_ready`."""
        url = database_url or self._database_url
        worker = GradingWorker(
            data_dir or self._folder / "data", "--database-url", url, *self._flags, prefix=prefix
        )
        self.workers.append(worker)
        return worker

    def run(self, model, texts, criteria=(SAYS,), *, client=None, inline=False):
        """A run that asks the model for each text; the rows are in a file, or the run's own."""
        client = client or self.client
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=list(criteria))
        rows = [{"item": {"text": text}} for text in texts]
        if inline:
            source = {"type": "file_content", "content": rows}
        else:
            lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
            file = client.files.create(file=("rows.jsonl", lines), purpose="evals")
            source = {"type": "file_id", "id": file.id}
        asked = {"type": "completions", "model": model, "input_messages": ASK, "source": source}
        return client.evals.runs.create(eval_.id, data_source=asked)

    def now(self, run):
        return self.client.evals.runs.retrieve(run.id, eval_id=run.eval_id)

    def wait_for_items(self, run, items, seconds=120):
        """The run once so many of its rows have ended, or it itself."""
        deadline = time.monotonic() + seconds
        while (run := self.now(run)).result_counts.total < items and run.status in ("queued", "in_progress"):
            assert time.monotonic() < deadline, f"the run has {run.result_counts} and is {run.status}"
            time.sleep(0.02)
        return run

    def rows_of(self, run):
        """The row numbers of all output items, as they are listed."""
        pages = self.client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, limit=100)
        return [item.datasource_item_id for item in pages]

    def close(self):
        for worker in self.workers:
            if worker.lives:
                worker.kill()
        self.client.close()
        if self.server.process.poll() is None:
            self.server.stop()


@contextmanager
def fleet(*arguments, **options):
    running = Fleet(*arguments, **options)
    try:
        yield running
    finally:
        running.close()
