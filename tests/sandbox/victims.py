"""Starting the process that is attacked, and asking it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.attacks.attack import Attack, source_of
from sandbox.planted import VARIABLE, canary

TESTS = Path(__file__).parent.parent


class Victim:
    """A running `victim.py`."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.targets = self._read()

    def _read(self):
        line = self._process.stdout.readline()
        assert line, "the victim is dead"
        return json.loads(line)

    def suffer(self, attack: Attack, **options) -> dict:
        """One attack: its outcome, and what it has touched."""
        source = source_of(attack, self.targets, at_load=options.pop("at_load", False))
        self._process.stdin.write(json.dumps({"source": source, **options}) + "\n")
        self._process.stdin.flush()
        return self._read()


def start(folder: Path, level: str) -> subprocess.Popen:
    """Start `victim.py` with a secret in its environment."""
    paths = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.victim", str(folder), level],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: canary(), "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )


@contextmanager
def victim(folder: Path, level: str) -> Iterator[Victim]:
    process = start(folder, level)
    try:
        with process:
            yield Victim(process)
            process.stdin.close()
    finally:
        process.kill()
