"""The models that were trained here, as the store last said; event loops never wait for it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from regrade.core.errors import RegradeError
from regrade.ports.models import TunedModel, TunedModels

_log = logging.getLogger(__name__)
_GLANCE_EVERY_S = 1.0


class TunedList:
    """A copy of ports.TunedModels. Any thread may ask."""

    def __init__(self, source: TunedModels | None, changed: Callable[[], None]) -> None:
        """`changed` is called, in some thread, when the list is not what it was."""
        self._source = source
        self._changed = changed
        self._version: int | None = None
        self._models: Mapping[str, TunedModel] = {}
        self._looked_at = 0.0
        self._looking = threading.Lock()

    def known(self) -> Mapping[str, TunedModel]:
        """By name, as it was when somebody last looked."""
        return self._models

    def look(self) -> None:
        """Read it again now, if it has changed."""
        if self._source is None:
            return
        with self._looking:
            self._looked_at = time.monotonic()
            version = self._source.version()
            if version == self._version:
                return
            self._models = {model.name: model for model in self._source.all()}
            self._version = version
        self._changed()

    def glance(self) -> None:
        """See to it that the list is looked at about once a second, without waiting for that."""
        old = time.monotonic() - self._looked_at > _GLANCE_EVERY_S
        if self._source is not None and old and not self._looking.locked():
            self._looked_at = time.monotonic()
            threading.Thread(target=self._look_in_passing, name="tuned models", daemon=True).start()

    def _look_in_passing(self) -> None:
        try:
            self.look()
        except (RegradeError, OSError):
            _log.warning("The tuned models stay as they were, for the store cannot be asked", exc_info=True)
