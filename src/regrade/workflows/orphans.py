"""Blobs that no record names: what was left where a process died between a blob and its record."""

import logging
from collections.abc import Iterator
from itertools import chain, islice

from regrade.ports.blobs import BLOB_KINDS, BlobEntry, BlobOwners, Blobs
from regrade.ports.system import Clock

logger = logging.getLogger(__name__)

_AT_ONCE = 1_000
_YOUNG_SECONDS = 86_400
"""A blob is there for an instant before its record is. A day forgives even a clock that is set."""
_REST_SECONDS = 3_600


class OrphanSweep:
    """Looks through all blobs again and again, some at a time."""

    def __init__(self, blobs: Blobs, owners: BlobOwners, clock: Clock, *, at_once: int = _AT_ONCE) -> None:
        self._blobs = blobs
        self._owners = owners
        self._clock = clock
        self._at_once = at_once
        self._entries: Iterator[BlobEntry] | None = None
        self._rests_until = 0

    def sweep(self) -> int:
        """Look at the next blobs and delete those that nobody owns; how many those were."""
        now = self._clock.now()
        if self._entries is None:
            if now < self._rests_until:
                return 0
            self._entries = chain.from_iterable(map(self._blobs.entries, BLOB_KINDS))
        try:
            page = list(islice(self._entries, self._at_once))
        except BaseException:
            self._entries = None  # an iterator that has failed would only seem to be at its end
            raise
        if len(page) < self._at_once:
            self._entries = None
            self._rests_until = now + _REST_SECONDS
        return self._delete([entry.key for entry in page if entry.modified_at < now - _YOUNG_SECONDS])

    def _delete(self, keys: list[str]) -> int:
        orphans = set(keys) - self._owners.owned(keys) if keys else set()
        for key in sorted(orphans):
            self._blobs.delete(key)
        if orphans:
            logger.info("Deleted %d blobs that no record names", len(orphans))
        return len(orphans)
