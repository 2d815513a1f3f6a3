"""The thread that generates: it steps through the batches of all models that have something to write."""

import logging
import threading
import time
from collections.abc import Callable

import torch

from regrade.inference.local.batch import Batch
from regrade.inference.local.rows import Row

_MOMENT_S = 0.003
_LONGEST_MOMENT_S = 0.03

_log = logging.getLogger(__name__)


class Generation:
    """Runs for as long as the process does; what goes wrong in it is the end of the process."""

    def __init__(self, *, memory: int, failed: Callable[[], None]) -> None:
        """`memory` is how many bytes the texts under way may take; `failed` is called when it cannot go on."""
        self._memory = memory
        self._failed = failed
        self._batches: list[Batch] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="generation", daemon=True).start()

    def add(self, batch: Batch, rows: list[Row]) -> None:
        """Have rows written."""
        with self._changed:
            batch.waiting.extend(rows)
            if batch not in self._batches:
                self._batches.append(batch)
            self._changed.notify()

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while True:
                    self._round()
        except Exception:  # noqa: BLE001 - whatever it is, no answer can be written any more
            _log.exception("The built-in engine cannot go on")
            self._failed()

    def _wait_for_rows(self) -> None:
        """Until there is something to write, and a moment longer: what comes together is read together."""
        while not self._batches:
            self._changed.wait()
        until = time.monotonic() + _LONGEST_MOMENT_S
        while self._changed.wait(_MOMENT_S) and time.monotonic() < until:
            pass

    def _round(self) -> None:
        with self._changed:
            self._batches = [batch for batch in self._batches if not batch.idle]
            if not self._batches:
                self._wait_for_rows()
            batches = list(self._batches)
        for batch in batches:
            others = sum(other.bytes for other in batches if other is not batch)
            batch.advance(self._memory - others)
