"""The sandbox of one process: which level holds here, the zygotes, and the programs of runs and requests."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from regrade.core.errors import ConfigurationError, InvalidError, RegradeError
from regrade.core.metrics import (
    SANDBOX_DEATHS,
    SANDBOX_GRADES,
    SANDBOX_PROCESSES,
    Labels,
    Metric,
    Metrics,
)
from regrade.core.python_source import imported, runs_code
from regrade.sandbox.budget import Budget
from regrade.sandbox.environment import Environment, find
from regrade.sandbox.folder import Folder
from regrade.sandbox.options import Level, SandboxOptions
from regrade.sandbox.program import Place, Program
from regrade.sandbox.self_test import breaches
from regrade.sandbox.zygote import Zygote, ZygoteError

logger = logging.getLogger(__name__)

_ZYGOTES = 3
_PROGRAMS_EACH = 8
"""So many programs may have a worker at once for each that may have more than one."""

_WAYS_OUT = (
    "Ways out: run Regrade on Linux 5.13 or newer (a container or WSL2 will do); or use other graders; or, on a "
    "machine of your own, start it with --unsafe-python-graders, which confines nothing."
)


class PythonSandbox:
    """ports.Sandbox. What it finds out, it finds out once, when it is first needed."""

    def __init__(self, options: SandboxOptions, metrics: Metrics | None = None) -> None:
        self._options = _within_memory(options)
        self._metrics = metrics or Metrics()
        self._metrics.ask(self._gauges)
        self._level: Level | None = None
        self._reason = ""
        self._folder: Folder | None = None
        self._environment: Environment | None = None
        self._zygotes: dict[tuple[str, ...], Zygote] = {}
        self._budget = Budget(self._options.workers, self._options.workers * _PROGRAMS_EACH)
        self._lock = threading.RLock()

    @property
    def level(self) -> Level:
        """See ports.Sandbox. The first call tries the jail out, which takes some tenths of a second."""
        with self._lock:
            if self._level is None:
                self._level = self._decide()
                self._say()
            return self._level

    @property
    def level_found(self) -> Level | None:
        """The level, if it was found out already."""
        return self._level

    def _gauges(self) -> list[tuple[Metric, Labels, float]]:
        """How many processes there are, and how they are confined; from any thread."""
        return [(SANDBOX_PROCESSES, (self._level,), self._budget.taken)] if self._level else []

    @property
    def reason(self) -> str:
        """Why the level is not a better one; empty where it is the best."""
        return self._reason if self.level != "strict" else ""

    @property
    def environment(self) -> str:
        """Where graders' packages come from: "installed" or "light"."""
        return "installed" if (self._options.environment / "bin" / "python").exists() else "light"

    def check(self, *, param: str) -> None:
        """See ports.Sandbox."""
        if self.level == "refuse":
            raise InvalidError(
                f"This server cannot confine Python graders ({self._reason}). {_WAYS_OUT}", param=param
            )

    def open(self) -> "Programs":
        """See ports.Sandbox."""
        return Programs(self)

    def load(self, source: str) -> Program:
        """A program; its owner closes it."""
        isolation = self._options.isolation
        each_alone = isolation == "item" or (isolation == "auto" and runs_code(source))
        imports = imported(source)
        place = Place(
            zygote=lambda: self._zygote(imports),
            scratch=self._new_scratch,
            options=self._options,
            budget=self._budget,
            grades=self._metrics.of(SANDBOX_GRADES),
            deaths=self._metrics.of(SANDBOX_DEATHS),
        )
        return Program(source, place, each_alone=each_alone)

    def close(self) -> None:
        """End all zygotes, and with them all workers."""
        with self._lock:
            for zygote in self._zygotes.values():
                zygote.close()
            self._zygotes.clear()
            if self._folder is not None:
                self._folder.remove()
                self._folder = None

    def _zygote(self, imports: frozenset[str]) -> Zygote:
        """A living zygote that has imported what a grader with these imports needs. Raises ZygoteError."""
        with self._lock:
            level = self.level
            if level == "refuse" or self._environment is None:
                raise ZygoteError(f"This server cannot confine Python graders ({self._reason}).")
            preload = self._environment.preload(imports)
            zygote = self._zygotes.pop(preload, None)
            if zygote is None or not zygote.alive:
                zygote = self._start(level, preload)
            self._zygotes[preload] = zygote  # the last used comes last
            unused = [each for each, found in self._zygotes.items() if not found.workers and each != preload]
            for each in unused[: max(0, len(self._zygotes) - _ZYGOTES)]:
                self._zygotes.pop(each).close()
            return zygote

    def _start(self, level: Level, preload: tuple[str, ...]) -> Zygote:
        if self._folder is None or self._environment is None:
            raise ZygoteError("The sandbox is closed.")
        return Zygote(self._environment, level, self._folder.root, preload)

    def _new_scratch(self) -> Path | None:
        """A folder for a worker that has no file tree of its own."""
        with self._lock:
            if self.level == "strict" or self._folder is None:
                return None
            return Path(tempfile.mkdtemp(dir=self._folder.scratch))

    def _decide(self) -> Level:
        """The best level that holds, of those that the operator allows."""
        wanted = self._options.level
        reasons: list[str] = []
        try:
            self._folder = Folder()
            self._environment = find(self._options, self._folder.packages)
        except ConfigurationError as error:
            self._reason = error.message
            return "refuse"
        except (OSError, RegradeError, subprocess.SubprocessError) as error:
            self._reason = f"the graders' interpreter does not work: {error}"
            return "refuse"
        if wanted == "unsafe":
            self._reason = "asked for with --unsafe-python-graders"
            return "unsafe"
        if sys.platform != "linux":
            self._reason = "this is not Linux"
            return "refuse"
        levels: tuple[Level, ...] = ("strict", "landlock") if wanted == "auto" else (wanted,)
        for level in levels:
            reason = self._try(level, self._environment, self._folder)
            if reason is None:
                self._reason = "; ".join(reasons)
                return level
            reasons.append(f"{level}: {reason}")
        self._reason = "; ".join(reasons)
        return "refuse"

    def _try(self, level: Level, environment: Environment, folder: Folder) -> str | None:
        """Build the jail and attack it; what is wrong, or None, and then its zygote is kept."""
        preload = environment.preload(())
        scratch = None if level == "strict" else Path(tempfile.mkdtemp(dir=folder.scratch))
        try:
            zygote = self._start(level, preload)
            try:
                found = breaches(zygote, self._options, folder.path, scratch)
            except BaseException:
                zygote.close()
                raise
        except (ZygoteError, OSError) as error:
            return str(error)
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
        if found:
            zygote.close()
            return f"a grader {', '.join(found)}"
        self._zygotes[preload] = zygote
        return None

    def _say(self) -> None:
        if self._level == "refuse":
            logger.warning("Python graders are refused (%s)", self._reason)
        elif self._level == "unsafe":
            logger.warning("Python graders run UNCONFINED: they can do whatever this user can")
        elif self._reason:
            logger.info("Python graders are confined at the level %s (%s)", self._level, self._reason)
        else:
            logger.info("Python graders are confined at the level %s", self._level)


class Programs:
    """ports.PythonPrograms."""

    def __init__(self, sandbox: PythonSandbox) -> None:
        self._sandbox = sandbox
        self._programs: list[Program] = []

    def load(self, source: str) -> Program:
        """See ports.PythonPrograms."""
        program = self._sandbox.load(source)
        self._programs.append(program)
        return program

    async def close(self) -> None:
        """See ports.PythonPrograms."""
        await asyncio.gather(*(program.close() for program in self._programs))


def _within_memory(options: SandboxOptions) -> SandboxOptions:
    """Fewer workers where all of them together could take more memory than there is."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fitting = max(1, total // (options.memory + options.scratch))
    if fitting >= options.workers:
        return options
    logger.warning(
        "Python graders get %d processes of the %d asked for: more could take more than the %d bytes of memory",
        fitting,
        options.workers,
        total,
    )
    return replace(options, workers=fitting)
