"""The figures of runs that pages watch: read at most once a second, however many pages do."""

from threading import Lock

from regrade.core.entities import Run
from regrade.core.results import Tally
from regrade.ports.system import Clock
from regrade.services.runs import Runs
from regrade.web.report import is_live

_MOST_RUNS = 100


class Watched:
    """Adding up a long run's chunks costs milliseconds; watchers of the same second share the sum."""

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._read: dict[str, tuple[int, Tally]] = {}
        self._reading = Lock()

    def tally(self, run: Run) -> Tally:
        """The run's tally, less than a second old; that of an ended run is final."""
        if not is_live(run):
            return self._runs.tally(run)
        now = self._clock.now()
        with self._reading:
            read = self._read.get(run.id)
            if read is None or read[0] != now:
                if len(self._read) >= _MOST_RUNS:
                    self._read.clear()
                read = self._read[run.id] = (now, self._runs.tally(run))
            return read[1]
