"""A server in front of the stand-in upstream, which speaks chat alone, responses alone, or both."""

import json
from contextlib import contextmanager

import httpx2
import openai
import pytest

from servers import serving
from upstream import upstream

CONFIG = """
[[endpoints]]
name = "chat-only"
base_url = "{url}"
models = ["chat/*"]
api = ["chat", "embeddings"]

[[endpoints]]
name = "responses-only"
base_url = "{url}"
models = ["resp/*"]
api = ["responses"]

[[endpoints]]
name = "both"
base_url = "{url}"
models = ["both/*"]
api = ["chat", "responses", "embeddings"]

[[endpoints]]
name = "nobody"
base_url = "http://127.0.0.1:9/v1"
models = ["nobody"]

[aliases]
"gpt-4o" = "both/echo"
"""


@contextmanager
def gateway(folder, up, *flags, env=None):
    folder.mkdir(exist_ok=True)
    config = folder / "regrade.toml"
    config.write_text(CONFIG.format(url=up.url))
    with serving(folder / "data", "--workers", "0", "--config", str(config), *flags, env=env) as running:
        yield running


@pytest.fixture(scope="package")
def up():
    with upstream() as running:
        yield running


@pytest.fixture(scope="package")
def server(up, tmp_path_factory):
    with gateway(tmp_path_factory.mktemp("gateway") / "here", up) as running:
        yield running


@pytest.fixture
def client(server):
    with server.client(max_retries=0) as client:
        yield client


@pytest.fixture
def aclient(server):
    """To be used as a context manager, in the test's own event loop."""
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


@pytest.fixture
def http(server):
    with httpx2.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def sent(up):
    """What the upstream got since the test began, as bodies."""
    up.forget()
    return lambda: [request["body"] for request in up.requests()]


@pytest.fixture
def events():
    """(name, data) of each server-sent event in an answer."""

    def parsed(text):
        for block in text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            data = fields["data"]
            yield fields.get("event"), data if data == "[DONE]" else json.loads(data)

    return lambda text: list(parsed(text))
