"""A bucket server for the tests of this folder."""

import pytest

from buckets import bucket_server
from worlds import open_world


@pytest.fixture(scope="session")
def running_bucket():
    with bucket_server() as bucket:
        yield bucket


@pytest.fixture
def bucket(running_bucket):
    running_bucket.wire.latency_s, running_bucket.wire.cut_after = 0.0, None
    yield running_bucket
    running_bucket.wire.latency_s, running_bucket.wire.cut_after = 0.0, None
    running_bucket.empty()


@pytest.fixture
def world(tmp_path, new_database_url):
    url = new_database_url()
    world = open_world(tmp_path, url)
    world.database_url = url
    yield world
    world.database.close()
