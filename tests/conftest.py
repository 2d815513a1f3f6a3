"""What all tests may use."""

import gc
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from databases import Postgres, postgres_server
from servers import Server, serving

# No property is about time: the machine that runs the tests may be busy.
settings.register_profile("regrade", deadline=None)
settings.load_profile("regrade")

# Processes inherit what this one ignores: a shell that starts the tests in the background has it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The tests start some hundred processes: let the first of them compile our modules for the others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leave the long forms out unless they are asked for (`make long`), and begin with what takes long.

    Tests that share a server come last: it lives to the end of the session, and would cost the others a tenth of a
    processor, and they are short, so that no process of the tests has much left when the other has nothing.
    """
    items.sort(key=lambda item: "servers" in item.fixturenames)
    if os.environ.get("REGRADE_LONG"):
        return
    skip = pytest.mark.skip(reason="a long form; `make long` runs it")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def pytest_collection_finish(session):
    """What is there now stays, and need not be looked through again and again."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Blame what a file of tests leaves open on that file, not on whichever test makes Python look for garbage."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()


def pytest_generate_tests(metafunc):
    """Tests of modules marked `both_databases` meet a server on each."""
    if metafunc.definition.get_closest_marker("both_databases") and "server" in metafunc.fixturenames:
        metafunc.parametrize("server", ["sqlite", "postgresql"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def servers(tmp_path_factory, request):
    """One server a database for all tests of a process that only need one, started when it is first asked for."""
    with ExitStack() as running:
        started = {}

        def on(database: str) -> Server:
            if database not in started:
                url = "sqlite" if database == "sqlite" else request.getfixturevalue("postgres").new()
                data_dir = tmp_path_factory.mktemp("server") / "data"
                started[database] = running.enter_context(serving(data_dir, "--database-url", url))
            return started[database]

        yield on


@pytest.fixture(scope="session")
def server(servers, request) -> Server:
    """One server for all tests of a process that only need one."""
    return servers(getattr(request, "param", "sqlite"))


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
