"""The real server half with the limits of the tests, and rows graded through it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from regrade.ports.sandbox import PythonGrade
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.sandbox import PythonSandbox
from sandbox.attacks.resources import MEMORY_BYTES, SCRATCH_BYTES

LEVELS = ("strict", "landlock")


class Jail:
    """Sandboxes at one level, one for each set of options that is asked for."""

    def __init__(self, folder: Path, level: str) -> None:
        self._folder = folder
        self._level = level
        self._sandboxes: dict[tuple, PythonSandbox] = {}

    def sandbox(self, **options) -> PythonSandbox:
        key = tuple(sorted(options.items()))
        if key not in self._sandboxes:
            limits = {"workers": 2, "memory": MEMORY_BYTES, "scratch": SCRATCH_BYTES, **options}
            made = PythonSandbox(SandboxOptions(directory=self._folder, level=self._level, **limits))
            assert made.level == self._level, made.reason
            self._sandboxes[key] = made
        return self._sandboxes[key]

    def grade(self, source: str, rows: Sequence[dict], *, alone: bool = False, **options) -> list[PythonGrade]:
        """All rows by one program, asked at once."""
        sandbox = self.sandbox(isolation="item" if alone else "run", **options)

        async def all_rows() -> list[PythonGrade]:
            programs = sandbox.open()
            try:
                program = programs.load(source)
                return await program.grade([({}, row) for row in rows])
            finally:
                await programs.close()

        return asyncio.run(all_rows())

    def close(self) -> None:
        for sandbox in self._sandboxes.values():
            sandbox.close()


@contextmanager
def jail(folder: Path, level: str) -> Iterator[Jail]:
    made = Jail(folder, level)
    try:
        yield made
    finally:
        made.close()
