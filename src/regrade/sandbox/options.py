"""What the operator may say about python graders."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["strict", "landlock", "unsafe", "refuse"]
Isolation = Literal["auto", "run", "item"]

IMAGE = "2025-05-08"
"""The hosted graders' image whose packages `regrade graders install` installs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Limits of one worker process, and how many there are."""

    directory: Path
    """Where this server keeps the graders' environment and what workers need while they run."""
    level: Literal["auto", "strict", "landlock", "unsafe"] = "auto"
    isolation: Isolation = "auto"
    workers: int = os.cpu_count() or 1
    timeout_s: float = 120.0
    """For one grade."""
    load_timeout_s: float = 30.0
    memory: int = 2 << 30
    scratch: int = 1 << 30
    hidden: tuple[Path, ...] = ()
    """Paths that graders must never see: the data directory, the configuration."""

    @property
    def environment(self) -> Path:
        """The graders' own environment, where it was installed."""
        return self.directory / IMAGE
