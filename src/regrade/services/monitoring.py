"""The figures of this process told to the database, and those of all processes told to Prometheus."""

import logging
import threading
import time
from threading import Lock

from regrade.core import metrics
from regrade.core.metrics import Figures, Metrics
from regrade.ports.figures import FigureStore

logger = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
_UNCHANGED_SECONDS = 20.0
"""How often a process says that it lives while it has nothing new to say."""
_DATABASE_SECONDS = 5.0


class Monitoring:
    """Counters only ever grow: over restarts of processes, and whichever server is asked."""

    def __init__(self, own: Metrics, store: FigureStore, process: str, version: str) -> None:
        """`process` is a name like no other's."""
        self._own = own
        self._store = store
        self._process = process
        self._version = version
        self._lock = Lock()
        self._said: Figures | None = None
        self._gone = Figures()
        """What this process counted before it was taken for gone."""
        self._said_at = 0.0
        self._of_database = Figures()
        self._asked_at = float("-inf")
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Report every few seconds, in a thread of its own."""
        self._thread = threading.Thread(target=self._report_for_ever, name="figures", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Report for the last time."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(REPORT_SECONDS)

    def report(self) -> None:
        """Tell the database what this process has counted until now."""
        with self._lock:
            now = self._own.figures()
            if now == self._said and time.monotonic() - self._said_at < _UNCHANGED_SECONDS:
                return
            if not self._store.put(self._process, now.since(self._gone), new=self._said is None):
                self._gone = self._said or Figures()
                self._store.put(self._process, now.since(self._gone), new=True)
            self._said, self._said_at = now, time.monotonic()

    def text(self) -> str:
        """The figures of all processes, in Prometheus' text format."""
        self.report()
        total = self._store.total()
        with self._lock:
            if time.monotonic() - self._asked_at > _DATABASE_SECONDS:
                self._of_database = Figures()
                for metric, labels, value in self._store.of_database():
                    self._of_database.add(metric.name, labels, [value])
                self._asked_at = time.monotonic()
            total.merge(self._of_database)
        total.add(metrics.BUILD.name, (self._version,), [1.0])
        return total.text()

    def _report_for_ever(self) -> None:
        troubled = False
        while True:
            over = self._over.wait(REPORT_SECONDS)
            try:
                self.report()
                troubled = False
            except Exception as error:  # noqa: BLE001 - the database is away, perhaps; what was counted is told later
                if not troubled:
                    logger.warning("The figures of this process do not reach the database: %s", error)
                troubled = True
            if over:
                return
