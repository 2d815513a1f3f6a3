"""Real engines, run by real hosts, asked by the real client."""

import asyncio
import json
import random
import socket
from contextlib import asynccontextmanager, contextmanager

import pytest

from regrade.core.local_models import Weights
from regrade.inference.client import Models
from regrade.inference.local.host import EngineHost, Options, endpoint, installed
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.ports.models import ModelCall, TunedModel
from regrade.settings import engine_environment
from regrade.system import SystemClock
from tiny_models import make_tiny

MIB = 1 << 20

if installed():
    import torch

    torch.set_num_threads(1)  # on a busy machine, threads that wait for each other take longer than the work


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a model."""
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


class Shelf:
    """What was trained, as the store would say."""

    def __init__(self):
        self.models = {}
        self.changes = 0

    def put(self, name, path, adapter=None):
        weights = Weights(path=str(path), adapter=None if adapter is None else str(adapter))
        self.models[name] = TunedModel(name=name, base="tiny", weights=weights)
        self.changes += 1

    def remove(self, name):
        del self.models[name]
        self.changes += 1

    def version(self):
        return self.changes

    def all(self):
        return list(self.models.values())


class Place:
    """A data directory with a regrade.toml, its engine, and clients."""

    def __init__(self, folder):
        self.data_dir = folder / "data"
        self.data_dir.mkdir(exist_ok=True)
        self.config = folder / "regrade.toml"
        self.tuned = Shelf()

    def name(self, **folders):
        """Base models by name."""
        entries = (
            "\n".join(["[[base_models]]", f'name = "{name}"', f'path = "{path}"']) for name, path in folders.items()
        )
        self.config.write_text("\n".join(entries))

    @contextmanager
    def engine(self, *, memory=512 * MIB, idle_s=600.0):
        options = Options(memory=memory, idle_s=idle_s, threads=1, log_level="info")
        host = EngineHost(self.data_dir, options, engine_environment())
        host.start()
        try:
            yield host
        finally:
            host.stop()

    @asynccontextmanager
    async def models(self, **policy):
        registry = Registry(
            self.config, variable=lambda _: None, tuned=self.tuned, built_in=endpoint(self.data_dir)
        )
        limits = Policy(**{"first_pause_s": 0.05, "timeout_s": 100.0, **policy})
        async with Models(registry, clock=SystemClock(), jitter=random.Random(7).random, policy=limits) as models:
            yield models

    def ask(self, *calls, **policy):
        """All calls at once, on a client of their own."""

        async def asked():
            async with self.models(**policy) as models:
                return await asyncio.gather(*(models.ask(call) for call in calls))

        return asyncio.run(asked())

    def status(self):
        """What the engine says of itself."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(endpoint(self.data_dir).socket)
            connection.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.fixture
def place(tmp_path, tiny):
    place = Place(tmp_path)
    place.name(tiny=tiny)
    return place


@pytest.fixture(scope="package")
def running(tmp_path_factory, tiny):
    """An engine for all tests that only ask."""
    place = Place(tmp_path_factory.mktemp("place"))
    bare = make_tiny(place.data_dir / "bare", chat=False)
    plain = make_tiny(place.data_dir / "plain", template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    place.name(tiny=tiny, bare=bare, plain=plain, gone="/nonexistent/folder")
    with place.engine():
        yield place


def chat(text="Hello", *, model="tiny", **body):
    """A call for a chat completion."""
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return ModelCall(api="chat", model=model, body={"messages": messages, "max_tokens": 24, **body})


def said(answer):
    return answer.body["choices"][0]["message"]["content"]
