"""The thread that generates: it steps through the batches of all models that have something to write."""

import logging
import threading
from collections.abc import Callable

import torch

from regrade.inference.local.batch import Batch
from regrade.inference.local.rows import Row

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

    def _round(self) -> None:
        with self._changed:
            self._batches = [batch for batch in self._batches if not batch.idle]
            while not self._batches:
                self._changed.wait()
            batches = list(self._batches)
        for batch in batches:
            others = sum(other.bytes for other in batches if other is not batch)
            batch.advance(self._memory - others)
