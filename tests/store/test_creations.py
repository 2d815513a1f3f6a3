"""Remembered creates: the latest of equal ones, for long enough, and not for ever."""

import pytest
import sqlalchemy as sa

from regrade.store.creations import SqlCreations
from regrade.store.tables import creations
from worlds import open_world


@pytest.fixture
def world(tmp_path, new_database_url):
    world = open_world(tmp_path, new_database_url())
    yield world
    world.database.close()


@pytest.fixture
def store(world):
    return SqlCreations(world.database)


def test_a_create_is_found_by_its_fingerprint_until_its_time_is_over(store):
    store.add("print", "eval_1", now=1000)
    assert store.find("print", since=1000) == "eval_1"
    assert store.find("print", since=1001) is None
    assert store.find("other", since=0) is None


def test_the_latest_of_equal_creates_counts(store):
    store.add("print", "eval_1", now=1000)
    store.add("print", "eval_2", now=1001)
    assert store.find("print", since=0) == "eval_2"


def test_old_creates_are_forgotten_bit_by_bit(store, world):
    for i in range(120):
        store.add(f"old{i}", "eval_1", now=1000)
    counts = []
    for i in range(4):
        store.add(f"new{i}", "eval_1", now=10_000)
        with world.database.read() as connection:
            counts.append(connection.execute(sa.select(sa.func.count()).select_from(creations)).scalar())
    assert counts == [71, 22, 3, 4]
