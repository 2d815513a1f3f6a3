"""The `regrade` command as a process, as users start it."""

import os
import subprocess
import sys


def environment(**variables):
    """This process's environment without what would change a command's mind."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("REGRADE_") and k not in ("CI", "NO_COLOR")}
    return {**kept, **variables}


def regrade(*arguments, cwd=None, **variables):
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "regrade", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**variables),
        timeout=100,
    )


def start(*arguments, cwd=None, stdin=subprocess.DEVNULL, **variables):
    """Start a command in a process group of its own, as a shell does, and leave it running."""
    return subprocess.Popen(
        [sys.executable, "-m", "regrade", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(**variables),
        process_group=0,
    )
