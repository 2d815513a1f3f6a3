"""Durable execution on the SQLite that this Python has."""

import time

import pytest

from regrade.engine import DbosQueue, migrate, sqlite_engine


@pytest.fixture
def engine(tmp_path):
    engine = sqlite_engine(tmp_path / "engine.sqlite3")
    migrate(engine)
    yield engine
    engine.dispose()


def test_the_clock_of_new_tables_runs_on_every_sqlite(engine):
    with engine.connect() as connection:
        now = connection.exec_driver_sql("SELECT unixepoch('subsec') * 1000").scalar()
    assert now == pytest.approx(1000 * time.time(), abs=60_000)
