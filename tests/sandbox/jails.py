"""The real server half with the limits of the tests, and rows graded through it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from regrade.ports.sandbox import PythonGrade
from regrade.sandbox import environment
from regrade.sandbox.budget import Budget
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.program import Place, Program
from regrade.sandbox.zygote import Zygote
from sandbox.attacks.resources import MEMORY_BYTES, SCRATCH_BYTES

LEVELS = ("strict", "landlock")


class Jail:
    """One zygote at a level."""

    def __init__(self, folder: Path, level: str, **options) -> None:
        packages, base, self._scratch = folder / "packages", folder / "base", folder / "scratch"
        for each in (packages, base, self._scratch):
            each.mkdir()
        self.level = level
        self._made = 0
        self._options = SandboxOptions(
            directory=folder, level=level, workers=2, memory=MEMORY_BYTES, scratch=SCRATCH_BYTES, **options
        )
        self._zygote = Zygote(environment.find(self._options, packages), level, base, ("json", "re", "math"))

    def grade(self, source: str, rows: Sequence[dict], *, alone: bool = False, **options) -> list[PythonGrade]:
        """All rows by one program, asked at once."""

        async def all_rows() -> list[PythonGrade]:
            own = replace(self._options, **options)
            place = Place(zygote=lambda: self._zygote, scratch=self._new_scratch, options=own, budget=Budget(2, 4))
            program = Program(source, place, each_alone=alone)
            try:
                return await asyncio.gather(*(program.grade({}, row) for row in rows))
            finally:
                await program.close()

        return asyncio.run(all_rows())

    def _new_scratch(self) -> Path | None:
        if self.level == "strict":
            return None
        self._made += 1
        folder = self._scratch / str(self._made)
        folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        self._zygote.close()


@contextmanager
def jail(folder: Path, level: str, **options) -> Iterator[Jail]:
    made = Jail(folder, level, **options)
    try:
        yield made
    finally:
        made.close()
