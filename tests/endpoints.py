"""Models and sandboxes for tests that need none."""

import random
import tempfile
from pathlib import Path

from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.sandbox.options import IMAGE, SandboxOptions
from regrade.sandbox.sandbox import PythonSandbox
from regrade.services.fine_tuned_models import FineTunedModels
from regrade.store.database import Database, sqlite_engine
from regrade.store.fine_tuned_models import SqlFineTunedModels
from regrade.system import SystemClock


def no_models() -> Models:
    """A real client without any endpoint."""
    nowhere = Registry(Path("/nonexistent/regrade.toml"), variable=lambda _: None)
    return Models(nowhere, clock=SystemClock(), jitter=random.random)


def no_python() -> PythonSandbox:
    """A real sandbox that has not looked yet what it can do here: nothing starts before a python grader is met."""
    return PythonSandbox(SandboxOptions(directory=Path(tempfile.gettempdir()) / "no-graders"))


def no_tuned() -> FineTunedModels:
    """The models of a store that nobody has made yet: it is not looked at before one is named."""
    store = SqlFineTunedModels(Database(sqlite_engine(Path("/nonexistent/regrade.sqlite3"))))
    return FineTunedModels(store, no_models(), SystemClock())


def python_refused(folder: Path) -> PythonSandbox:
    """A real sandbox that can do nothing, because the interpreter installed for it does not run."""
    python = folder / "graders" / IMAGE / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/false")
    (folder / "graders" / IMAGE / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    return PythonSandbox(SandboxOptions(directory=folder / "graders"))
