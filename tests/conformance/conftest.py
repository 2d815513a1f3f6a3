"""Plain HTTP, and a server with keys that grades."""

from dataclasses import dataclass

import httpx2
import pytest

from regrade import outside, settings
from servers import Server, serving


@dataclass(frozen=True)
class Keyed:
    """A server with two projects and a key of each."""

    server: Server
    red: str
    blue: str


@pytest.fixture
def http(server):
    with httpx2.Client(base_url=f"{server.url}/v1") as client:
        yield client


@pytest.fixture(scope="package")
def keyed(tmp_path_factory) -> Keyed:
    data_dir = tmp_path_factory.mktemp("keyed") / "data"
    with outside.open_keys(settings.load({"data_dir": str(data_dir)}, environ={})) as keys:
        _, red = keys.create("red", "", admin=False)
        _, blue = keys.create("blue", "", admin=False)
    with serving(data_dir) as running:
        yield Keyed(running, red, blue)
