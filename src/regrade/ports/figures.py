"""What processes count of themselves, kept so that any server can tell it of all."""

from collections.abc import Iterable
from typing import Protocol

from regrade.core.metrics import Figures, Labels, Metric


class FigureStore(Protocol):
    """One row a process; what a process has counted stays when it is gone."""

    def put(self, process: str, figures: Figures, *, new: bool) -> bool:
        """Replace what the process has said; False where that is gone and the process is not `new`.

        Then what it said last counts for ever, and what it says from now on must leave that out.
        """
        ...

    def total(self) -> Figures:
        """The sums over all processes, those that are gone included."""
        ...

    def retire(self) -> None:
        """Keep of processes that have been silent for long only what counts for ever."""
        ...

    def of_database(self) -> Iterable[tuple[Metric, Labels, float]]:
        """What the database knows by itself: runs, chunks, workers, its size."""
        ...
