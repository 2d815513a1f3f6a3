"""The marker, at every point where a first start may be killed."""

import pytest

from regrade.core.errors import ConfigurationError
from regrade.store.blobs import DiskBlobs
from regrade.store.marker import KEY, BlobMarker


def marker(world, blobs=None):
    return BlobMarker(world.database, blobs or world.blobs, "file:///place")


def test_a_worker_waits_for_the_first_server(world):
    with pytest.raises(ConfigurationError, match="No server has started"):
        marker(world).check()
    marker(world).establish("text")
    marker(world).check()


def test_a_later_start_keeps_the_first_text(world):
    marker(world).establish("first")
    marker(world).establish("second")
    assert b"".join(world.blobs.pieces(KEY)) == b"first"


def test_a_first_start_that_was_killed_before_the_marker_lay_there_goes_on(world):
    class KilledError(Exception):
        pass

    class DyingBlobs:
        def __getattr__(self, name):
            return getattr(world.blobs, name)

        def writer(self, key):
            raise KilledError

    with pytest.raises(KilledError):
        marker(world, DyingBlobs()).establish("first")
    marker(world).establish("second")
    marker(world).check()
    assert b"".join(world.blobs.pieces(KEY)) == b"first"


def test_a_folder_that_is_not_shared_is_refused_for_workers_too(world, tmp_path):
    marker(world).establish("text")
    with pytest.raises(ConfigurationError, match="file:///place does not hold the files of this database"):
        marker(world, DiskBlobs(tmp_path / "elsewhere")).check()
