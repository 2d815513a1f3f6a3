"""Virtual environments of other clients, each made once and kept in pytest's cache."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest


def python_with(cache: Path, *requirements: str) -> Path:
    """A Python that has these packages and nothing of ours; skips the test where no package index answers."""
    python = cache / "venv" / "bin" / "python"
    made = cache / "made"
    wanted = "\n".join((*requirements, sys.version))
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of this test run want it too
        if not made.exists() or made.read_text() != wanted:
            venv.create(cache / "venv", clear=True, symlinks=True)
            pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
            install = subprocess.run(
                [*pip, "install", "--quiet", "--no-compile", *requirements],
                capture_output=True,
                text=True,
                env={**os.environ, "PIP_NO_INPUT": "1"},
            )
            if install.returncode:
                last_line = install.stderr.strip().splitlines()[-1]
                pytest.skip(f"no package index has {' and '.join(requirements)}: {last_line}")
            made.write_text(wanted)
    return python


def run(python: Path, script: Path, *arguments: str) -> str:
    """What the script prints."""
    done = subprocess.run([python, "-I", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
