"""What all tests may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from databases import Postgres, postgres_server
from servers import Server, serving

# No property is about time: the machine that runs the tests may be busy.
settings.register_profile("regrade", deadline=None)
settings.load_profile("regrade")


def pytest_collection_modifyitems(config, items):
    """Leave the long forms out unless they are asked for (`make long`)."""
    if os.environ.get("REGRADE_LONG"):
        return
    skip = pytest.mark.skip(reason="a long form; `make long` runs it")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Server:
    """One server for all tests of a process that only need one."""
    with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def client(server):
    """The real SDK, against the real server."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """One PostgreSQL server for all tests of a process that need one."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database_url(request):
    """Values of the setting database_url: every test that uses this runs on both databases."""
    if request.param == "sqlite":
        return lambda: "sqlite"
    return request.getfixturevalue("postgres").new


@pytest.fixture(scope="session")
def gsm8k() -> Path:
    """The folder of recorded GSM8K solutions."""
    folder = os.environ.get("REGRADE_GSM8K_DIR")
    if not folder:
        pytest.skip("REGRADE_GSM8K_DIR names no folder with the GSM8K recordings")
    return Path(folder)
