"""A real socket in front of the files and uploads of a world."""

import threading

import pytest
import uvicorn
from openai import OpenAI

from regrade.api.app import AppOptions, build_app
from regrade.system import SystemClock, SystemIds
from worlds import open_world


class Behind:
    """The services of whichever world a test has put behind the socket."""

    def __init__(self):
        self.world = None

    def __getattr__(self, name):
        return getattr(self.world, name)


@pytest.fixture(scope="session")
def front(tmp_path_factory):
    """One application on one socket for all tests: building it takes longer than most of them."""
    behind = Behind()
    behind.world = open_world(tmp_path_factory.mktemp("nobody"))
    clock = SystemClock()
    app = build_app(behind, AppOptions(ids=SystemIds(clock), clock=clock))
    behind.world.database.close()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", loop="uvloop"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    yield behind, f"http://{host}:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def world(tmp_path, new_database_url):
    world = open_world(tmp_path, new_database_url())
    yield world
    world.database.close()


@pytest.fixture
def url(front, world):
    """Where a server on this world answers."""
    behind, url = front
    behind.world = world
    return url


@pytest.fixture
def client(url):
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client
