"""Plain HTTP against real servers: one without keys, one with keys and a small limit on bodies."""

from dataclasses import dataclass

import httpx2
import pytest

from regrade import outside, settings
from servers import Server, serving

EVAL = {
    "data_source_config": {"type": "custom", "item_schema": {"type": "object", "properties": {"a": {}}}},
    "testing_criteria": [
        {"type": "string_check", "name": "same", "input": "{{item.a}}", "reference": "1", "operation": "eq"}
    ],
}


@dataclass(frozen=True)
class Keyed:
    """A server with two projects, and a key of each."""

    server: Server
    red: str
    blue: str


@pytest.fixture
def http(server):
    with httpx2.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def new_eval():
    """The smallest body of an eval, to be changed at will."""
    return {**EVAL}


@pytest.fixture(scope="package")
def keyed(tmp_path_factory) -> Keyed:
    data_dir = tmp_path_factory.mktemp("keyed") / "data"
    with outside.open_keys(settings.load({"data_dir": str(data_dir)}, environ={})) as keys:
        _, red = keys.create("red", "", admin=False)
        _, blue = keys.create("blue", "", admin=False)
    with serving(data_dir, "--workers", "0", "--max-body-bytes", "100000") as running:
        yield Keyed(running, red, blue)


@pytest.fixture
def strict_http(keyed):
    with httpx2.Client(base_url=keyed.server.url) as client:
        yield client
