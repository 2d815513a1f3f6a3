"""An upstream to ask, and the client that asks it."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.ports.models import ModelCall
from regrade.system import SystemClock
from upstream import upstream

ALL_APIS = ["chat", "responses", "embeddings"]
QUICK = {"timeout_s": 20.0, "first_pause_s": 0.01}


@pytest.fixture(scope="session")
def up():
    """One stand-in for all tests of a process that do not stop it."""
    with upstream() as running:
        yield running


@pytest.fixture
def fresh(up):
    """The same, with nothing on record."""
    up.forget()
    return up


@pytest.fixture
def own():
    """One that a test may stop."""
    with upstream() as running:
        yield running


class World:
    """A regrade.toml, and clients that read it."""

    def __init__(self, folder):
        self.config = folder / "regrade.toml"
        self.secrets = {}

    def write(self, *entries, aliases=None):
        """Each entry is a url, or the keys of an endpoint."""
        lines = []
        for number, entry in enumerate(entries):
            keys = {"name": f"e{number}", "models": ["*"], "api": ALL_APIS}
            keys |= {"base_url": entry} if isinstance(entry, str) else entry
            lines += ["[[endpoints]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        lines += ["[aliases]", *(f'"{alias}" = "{name}"' for alias, name in (aliases or {}).items())]
        self.config.write_text("\n".join(lines))

    def registry(self, **options):
        return Registry(self.config, variable=self.secrets.get, **options)

    @asynccontextmanager
    async def models(self, *, cache=None, ledger=None, process="", **policy):
        async with Models(
            self.registry(),
            clock=SystemClock(),
            jitter=random.Random(7).random,
            policy=Policy(**{**QUICK, **policy}),
            cache=cache,
            ledger=ledger,
            process=process,
        ) as models:
            yield models

    def ask(self, call, **options):
        """One call on a client of its own."""

        async def asked():
            async with self.models(**options) as models:
                return await models.ask(call)

        return asyncio.run(asked())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def there(world, fresh):
    """A world whose one endpoint is the stand-in."""
    world.write(fresh.url)
    world.up = fresh
    return world


def chat(model, text="hello there", **options):
    """A call for a chat completion; keys that are no options of the call are the body's."""
    call = {key: options.pop(key) for key in ("repetition", "persist", "lenient", "deadline_s") if key in options}
    body = {"messages": [{"role": "user", "content": text}], **options}
    return ModelCall(api="chat", model=model, body=body, **call)


def responses(model, text="hello there", **body):
    """A call of the responses API."""
    return ModelCall(api="responses", model=model, body={"input": text, **body})


def said(answer):
    """The text of a chat completion."""
    return answer.body["choices"][0]["message"]["content"]
