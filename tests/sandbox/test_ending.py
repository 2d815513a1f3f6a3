"""Nothing of the jail outlives the server, however that ends."""

import json
import time

import psutil

from sandbox.victims import start

SPIN = "def grade(sample, item):\n    while True: pass\n"
PATIENCE_S = 30


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def spinning(zygote: psutil.Process) -> bool:
    """Whether the zygote has a worker that has burnt a while of processor time."""
    try:
        return any(sum(worker.cpu_times()[:2]) > 0.1 for worker in zygote.children())
    except psutil.NoSuchProcess:
        return False


def test_a_worker_that_spins_ends_with_a_server_that_is_killed(level, tmp_path):
    server = start(tmp_path, level)
    with server:
        json.loads(server.stdout.readline())
        server.stdin.write(json.dumps({"source": SPIN, "alone": False}) + "\n")
        server.stdin.flush()
        while not any(map(spinning, left := descendants(server.pid))):
            time.sleep(0.05)
        server.kill()
        server.stdin.close()
        server.wait()
        _, alive = psutil.wait_procs(left, PATIENCE_S)
        assert alive == []
