"""What processes of one server tell each other."""

from collections.abc import Callable, Mapping
from typing import Protocol

from regrade.types.json import JsonObject

Tell = Callable[[Mapping[str, JsonObject], float], JsonObject]
"""From what the other processes say, and the database's time in Unix seconds: what this one says from now on."""


class LimitLedger(Protocol):
    """Who uses how much of the models' limits. What a process has said counts for some seconds."""

    def exchange(self, process: str, tell: Tell, *, lasts_s: float) -> None:
        """Say something new: `tell` is called once, while no other process can say anything.

        Raises whatever the database does where it is away; then the others may have heard it or not.
        """
        ...

    def leave(self, process: str) -> None:
        """Say nothing any more."""
        ...
