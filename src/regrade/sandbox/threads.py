"""The sandbox for threads that have event loops of their own, by way of the loop that has its processes."""

import asyncio
from collections.abc import Callable, Sequence

from regrade.ports.sandbox import PythonGrade
from regrade.sandbox.program import Program
from regrade.sandbox.sandbox import Programs, PythonSandbox
from regrade.types.json import JsonObject


class SandboxFromThreads:
    """ports.Sandbox, for any event loop; cancelling a grade here cancels it there."""

    def __init__(self, sandbox: PythonSandbox, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._sandbox = sandbox
        self._loop = loop

    @property
    def level(self) -> str:
        """See ports.Sandbox."""
        return self._sandbox.level

    def check(self, *, param: str) -> None:
        """See ports.Sandbox."""
        self._sandbox.check(param=param)

    def open(self) -> "_Programs":
        """See ports.Sandbox."""
        return _Programs(self._sandbox.open(), self._loop())


class _Programs:
    """ports.PythonPrograms."""

    def __init__(self, programs: Programs, loop: asyncio.AbstractEventLoop) -> None:
        self._programs = programs
        self._loop = loop

    def load(self, source: str) -> "_Program":
        return _Program(self._programs.load(source), self._loop)

    async def close(self) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._programs.close(), self._loop))


class _Program:
    """ports.PythonProgram."""

    def __init__(self, program: Program, loop: asyncio.AbstractEventLoop) -> None:
        self._program = program
        self._loop = loop

    async def grade(self, rows: Sequence[tuple[JsonObject, JsonObject]]) -> list[PythonGrade]:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._program.grade(rows), self._loop))
