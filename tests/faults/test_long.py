"""The long form: two hundred random faults over runs of 20,000 rows, and what they cost in all."""

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from databases import Postgres
from grading_workers import Wire, fleet
from upstream import upstream

FAULTS = int(os.environ.get("REGRADE_FAULTS") or 200)
ROWS, AT_ONCE, TAKEOVER = 20_000, 16, 4
FLAGS = ("--concurrency", str(AT_ONCE), "--worker-takeover-seconds", str(TAKEOVER), "--log-level", "error")
DISK = "400m"


@contextmanager
def small_disk():
    """A file system of its own for the database."""
    folder = Path(tempfile.mkdtemp(prefix="regrade-faults-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder])


class Faults:
    """What happens to two workers, their database and their clocks; everything is whole again after each."""

    def __init__(self, running, postgres, disk, wires, clock, chance):
        self._running, self._postgres, self._disk = running, postgres, disk
        self._wires, self._clock, self._chance = wires, clock, chance
        self.counts = Counter()
        self._workers = [self._start(slot) for slot in (0, 1)]
        for worker in self._workers:
            worker.wait_until_ready()

    def _start(self, slot):
        # The second worker lives in a time of its own.
        preload = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
        ours = ("env", f"LD_PRELOAD={preload}", f"FAKETIME_TIMESTAMP_FILE={self._clock}", "FAKETIME_NO_CACHE=1")
        prefix = (*ours, "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1") if slot else ()
        return self._running.add(database_url=self._wires[slot].url, prefix=prefix)

    def one(self):
        """Let something happen, for a while that may be too short or too long to be noticed."""
        names = ["kill"] * 4 + ["freeze"] * 4 + ["cut"] * 4 + ["jump"] * 3 + ["drop"] * 3 + ["restart"] + ["fill"]
        name = self._chance.choice(names)
        self.counts[name] += 1
        getattr(self, f"_{name}")(self._chance.randrange(2))
        for slot, worker in enumerate(self._workers):
            if not worker.lives:
                self._workers[slot] = self._start(slot)

    def _pause(self):
        time.sleep(self._chance.choice((0.1, 0.5, 1.0, 2.5, 6.0)))

    def _kill(self, slot):
        self._workers[slot].kill()

    def _freeze(self, slot):
        self._workers[slot].freeze()
        self._pause()
        self._workers[slot].thaw()

    def _cut(self, slot):
        self._wires[slot].cut()
        self._pause()
        self._wires[slot].mend()

    def _jump(self, slot):
        self._clock.write_text(self._chance.choice(("+0", "+3600", "-3600", "+86400")))

    def _drop(self, slot):
        """All connections to the database end."""
        self._postgres.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def _restart(self, slot):
        self._postgres.server.stop()
        self._pause()
        self._postgres.server.start()

    def _fill(self, slot):
        filler = self._disk / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
        self._pause()
        filler.unlink()
        with suppress(Exception):  # it may have survived
            self._postgres.server.start()


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_hundred_faults_lose_and_repeat_nothing(tmp_path):
    if not shutil.which("faketime"):
        pytest.skip("faketime is not installed")
    seed = int(os.environ.get("REGRADE_SEED") or time.time())
    chance = random.Random(seed)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    started, rows, runs = time.monotonic(), 0, 0
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk())
        postgres = Postgres(disk / "postgres", durable=False)
        stack.callback(postgres.server.cleanup)
        url = postgres.new()
        wires = [Wire(url), Wire(url)]
        up = stack.enter_context(upstream("--latency-ms", "50"))
        running = stack.enter_context(fleet(tmp_path, up.url, *FLAGS, database_url=url))
        for wire in wires:
            stack.callback(wire.close)
        faults = Faults(running, postgres, disk, wires, clock, chance)
        while faults.counts.total() < FAULTS:
            run = running.run("echo", [f"run {runs} row {n}" for n in range(ROWS)])
            runs += 1
            while (run := running.now(run)).status in ("queued", "in_progress"):
                time.sleep(chance.uniform(0, 1.5))
                if faults.counts.total() < FAULTS:
                    faults.one()
            assert run.status == "completed", (seed, run)
            assert run.result_counts.to_dict() == {"total": ROWS, "passed": ROWS, "failed": 0, "errored": 0}, seed
            assert running.rows_of(run) == list(range(ROWS)), seed
            assert run.per_model_usage[0].invocation_count == ROWS, seed
            rows += ROWS
        asked = up.state()["requests"]
    seconds = time.monotonic() - started
    print(f"\nseed {seed}: {faults.counts.total()} faults {dict(faults.counts)} in {seconds:.0f} s")
    print(f"{runs} runs, {rows:,} items, none lost, none counted twice; {asked - rows:,} calls repeated")
    # Everything in flight on both workers, at every fault.
    assert rows <= asked <= rows + FAULTS * 2 * 2 * AT_ONCE
