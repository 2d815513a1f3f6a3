"""A real server for a benchmark, and what its processes have used."""

import sys
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # last: its folders have names of scripts here

from databases import postgres_server
from endpoints import no_models, no_python
from servers import Server, serving

__all__ = [
    "Server", "cpu_seconds", "no_models", "no_python", "peak_mib", "postgres_server", "serving", "workers",
]  # fmt: skip


def workers(server: Server) -> list[psutil.Process]:
    """The server's grading processes."""
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "regrade.supervised" in child.cmdline()]


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """What the processes have used so far."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def peak_mib(process: psutil.Process) -> float:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
