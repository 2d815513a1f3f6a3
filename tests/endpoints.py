"""Models for tests that need none, or that ask the stand-in upstream."""

import random
from pathlib import Path

from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.system import SystemClock


def no_models() -> Models:
    """A real client without any endpoint."""
    nowhere = Registry(Path("/nonexistent/regrade.toml"), variable=lambda _: None)
    return Models(nowhere, clock=SystemClock(), jitter=random.random)
