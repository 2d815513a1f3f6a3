"""Where python graders cannot be confined, they are refused, with the reason."""

import asyncio
from pathlib import Path

import pytest

from endpoints import python_refused
from regrade.core.errors import InvalidError
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.sandbox import PythonSandbox


def test_a_data_directory_that_graders_could_read_refuses_them(tmp_path):
    sandbox = PythonSandbox(SandboxOptions(directory=tmp_path, hidden=(Path("/usr/lib/regrade"),)))
    with pytest.raises(InvalidError, match=r"/usr/lib/regrade lies within /usr/lib, which python graders can read"):
        sandbox.check(param="grader")


def test_rows_that_reach_a_refusing_sandbox_are_told_so(tmp_path):
    async def grade():
        programs = python_refused(tmp_path).open()
        try:
            [graded] = await programs.load("def grade(sample, item):\n    return 1").grade([({}, {})])
            return graded
        finally:
            await programs.close()

    graded = asyncio.run(grade())
    assert graded.error.kind == "python_grader_server_error"
    assert "cannot confine Python graders" in graded.error.message
