"""The folder of one process's sandbox: mount point, links to packages, scratch."""

import fcntl
import os
import tempfile
from pathlib import Path

from regrade.sandbox.scratch import remove

_PREFIX = "regrade-graders-"


class Folder:
    """What one process's sandbox has on disk, removed at its end, or by the next one where it was killed."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        _remove_left_behind(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self.root, self.packages, self.scratch = (self.path / name for name in ("root", "packages", "scratch"))
        for folder in (self.root, self.packages, self.scratch):
            folder.mkdir()
        # A worker may have a uid of its own: it passes through, and looks at its packages.
        for folder, mode in ((self.path, 0o711), (self.packages, 0o755), (self.scratch, 0o711)):
            folder.chmod(mode)

    def remove(self) -> None:
        """Forget all of it."""
        remove(self.path)
        os.close(self._lock)


def _remove_left_behind(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
        except BlockingIOError:
            continue  # somebody's who lives
        finally:
            os.close(opened)
