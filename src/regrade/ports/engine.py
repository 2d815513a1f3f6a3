"""Durable execution."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol


class Engine(Protocol):
    """Runs workflows to their end, whatever happens to processes."""

    def start_run(self, run_id: str) -> None:
        """Ask for workflow `run:{id}`, which ends with the run; asked twice is once."""
        ...

    def start_chunks(self, run_id: str, ks: Sequence[int]) -> None:
        """Ask for workflows `run:{id}:{k}`; asked twice is once.

        Early chunks of any run come before late ones of another.
        """
        ...

    def start_job(self, job_id: str, round_: int, *, training: bool) -> None:
        """Ask for the workflow that reads a fine-tuning job's files, or for the `round_`th that trains it.

        Asked twice is once.
        """
        ...

    def adopt(self, alive: Callable[[], Collection[str]]) -> int:
        """Let others have the workflows of workers that are not `alive`; how many those were."""
        ...

    def keep_pace(self, *, since: int) -> None:
        """Let workers look for work often, or seldom where there is none and none was asked for since then."""
        ...

    def forget_ended(self, *, before: int, limit: int) -> None:
        """Forget up to `limit` workflows that ended before then; asked for again, such a one runs again."""
        ...
