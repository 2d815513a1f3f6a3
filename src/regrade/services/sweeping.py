"""Bytes that nothing needs any more: deleted first, forgotten after, so that a crash in between leaks none."""

from collections.abc import Sequence
from typing import Protocol

from regrade.ports.blobs import Blobs


class SweptStore(Protocol):
    """A store of records that own blobs, such as files and the parts of uploads."""

    def sweep(self, *, before: int, limit: int) -> list[str]:
        """Blobs of what ended before then, until `forget` names them."""
        ...

    def forget(self, blobs: Sequence[str]) -> None:
        """Note that these blobs are gone."""
        ...


def sweep_blobs(store: SweptStore, blobs: Blobs, *, before: int, limit: int) -> int:
    """Delete up to `limit` blobs of what ended before then; how many there were."""
    gone = store.sweep(before=before, limit=limit)
    for blob in gone:
        blobs.delete(blob)
    if gone:
        store.forget(gone)
    return len(gone)
