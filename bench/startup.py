"""How long a person waits: `regrade --help`, and `regrade serve` until it answers; against a bare Python start.

python bench/startup.py [RUNS]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import Server


def seconds_of(*command: str) -> float:
    """Seconds of a whole process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def seconds_to_ready(folder: Path) -> float:
    """Seconds from the start of a server on a new data directory to its answer."""
    started = time.perf_counter()
    server = Server(folder / "data")
    ready = time.perf_counter() - started
    server.stop()
    return ready


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    bare, help_, ready = [], [], []
    for _ in range(runs):
        bare.append(seconds_of(sys.executable, "-c", "pass"))
        help_.append(seconds_of(sys.executable, "-m", "regrade", "--help"))
        with tempfile.TemporaryDirectory() as folder:
            ready.append(seconds_to_ready(Path(folder)))
    floor = statistics.median(bare)
    for name, times in (("regrade --help", help_), ("regrade serve, until ready", ready)):
        median = statistics.median(times)
        print(f"{name}: median {median:.2f} s = {median / floor:.0f} times a bare Python start's {floor:.3f} s")


if __name__ == "__main__":
    main()
