"""The folder of a worker that has no file tree of its own: how much lies in it, and its removal.

The grader makes what is in there, so nothing is taken for granted: not depth, not rights, not that a name stays.
"""

import itertools
import os
import stat
import tempfile
from pathlib import Path

MAX_FILES = 10_000
_MAX_PATH = 1000
"""Characters below the folder: the kernel walks along a path anew for each file."""


def over(folder: Path, most_bytes: int) -> bool:
    """Whether it holds more than it may, or what cannot be counted."""
    size = count = 0
    longest = len(str(folder)) + _MAX_PATH
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    size += facts.st_blocks * 512
                    count += 1
                    if stat.S_ISDIR(facts.st_mode):
                        folders.append(entry.path)
                        if len(entry.path) > longest:
                            return True
        except FileNotFoundError:  # the grader removed it meanwhile
            continue
        except OSError:  # closed to its owner
            return True
        if size > most_bytes or count > MAX_FILES:
            return True
    return False


def remove(folder: Path) -> None:
    """Remove it with all that is in it, once nobody writes there any more; what cannot be removed stays.

    Level by level: what lies deeper is moved up before, so that no path and no recursion grows with the depth.
    """
    try:
        upper = _beside(folder)
        _move(folder, upper / "0")
        while below := [Path(entry.path) for entry in os.scandir(upper)]:
            lower, numbers = _beside(folder), itertools.count()
            for each in below:
                for entry in list(os.scandir(each)):
                    if entry.is_dir(follow_symlinks=False):
                        _move(Path(entry.path), lower / str(next(numbers)))
                    else:
                        os.unlink(entry.path)  # noqa: PTH108 - there may be thousands
                each.rmdir()
            upper.rmdir()
            upper = lower
        upper.rmdir()
    except OSError:  # the sandbox's next start looks for what was left
        return


def _beside(folder: Path) -> Path:
    """A new folder, with a name by which a later start finds it."""
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))


def _move(folder: Path, target: Path) -> None:
    folder.chmod(0o700)  # its maker may have closed it
    folder.rename(target)
