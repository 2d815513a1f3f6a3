"""Tuned models on an endpoint of the kind vllm: loaded when they are asked for, unloaded when they are gone."""

import asyncio
import random
import time
from contextlib import asynccontextmanager

import pytest

from inference.conftest import chat, said
from regrade.core.endpoints import Endpoint
from regrade.core.errors import ModelError
from regrade.core.local_models import Weights
from regrade.inference.client import Models
from regrade.inference.registry import Registry
from regrade.inference.retry import Policy
from regrade.ports.models import TunedModel
from regrade.system import SystemClock
from vllm import KEY, Vllm

BASE = "Qwen/Qwen3-8B"
TUNED = "ft:Qwen/Qwen3-8B:default::abcdefgh"


class Trained:
    """What the store says was trained here."""

    def __init__(self):
        self.models = []
        self.changes = 0

    def set(self, *models):
        self.models, self.changes = list(models), self.changes + 1

    def version(self):
        return self.changes

    def all(self):
        return self.models


class World:
    def __init__(self, vllm, models, trained, adapter):
        self.vllm, self.models, self.trained, self.adapter = vllm, models, trained, adapter

    async def ask(self, model=TUNED):
        return said(await self.models.ask(chat(model)))


@asynccontextmanager
async def world(folder, *, updating=True, adapter=True):
    where = folder / "adapter"
    where.mkdir(exist_ok=True)
    trained = Trained()
    weights = Weights(path=BASE, adapter=str(where)) if adapter else Weights(path=str(where))
    trained.set(TunedModel(name=TUNED, base=BASE, weights=weights))
    config = folder / "regrade.toml"
    async with Vllm(BASE, updating=updating).served() as vllm:
        config.write_text(
            f'[[endpoints]]\nname = "gpu"\nkind = "vllm"\nbase_url = "{vllm.url}"\nadmin_url = "{vllm.url}"\n'
            f'models = ["{BASE}"]\napi_key_env = "KEY"\n'
        )
        built_in = Endpoint(name="built-in", base_url="http://built-in/v1", models=(), socket="/nonexistent/socket")
        registry = Registry(config, variable={"KEY": KEY}.get, tuned=trained, built_in=built_in)
        policy = Policy(first_pause_s=0.01, patience_s=0.1)
        async with Models(registry, clock=SystemClock(), jitter=random.random, policy=policy) as models:
            yield World(vllm, models, trained, where)


def live(story):
    return asyncio.run(story())


def test_a_tuned_model_is_loaded_once_when_it_is_asked_for(tmp_path):
    async def story():
        async with world(tmp_path) as here:
            answers = await asyncio.gather(*(here.ask() for _ in range(20)))
            assert set(answers) == {f"{TUNED} at {here.adapter}"}
            assert await here.ask(BASE) == f"{BASE} at None"
            assert here.vllm.loads == 1
            served = {each.name: each.endpoint for each in await asyncio.to_thread(here.models.served)}
            assert served == {BASE: "gpu", TUNED: "gpu"}

    live(story)


def test_after_a_restart_it_is_loaded_again(tmp_path):
    async def story():
        async with world(tmp_path) as here:
            await here.ask()
            here.vllm.restart()
            assert await here.ask() == f"{TUNED} at {here.adapter}"

    live(story)


def test_an_adapter_that_somebody_else_has_loaded_is_no_error(tmp_path):
    async def story():
        async with world(tmp_path) as here:
            here.vllm.adapters[TUNED] = str(here.adapter)
            assert await here.ask()
            assert here.vllm.loads == 0

    live(story)


def test_a_tuned_model_that_is_gone_is_unloaded(tmp_path):
    async def story():
        async with world(tmp_path) as here:
            await here.ask()
            here.trained.set()
            until = time.monotonic() + 20
            while here.vllm.adapters and time.monotonic() < until:
                await here.ask(BASE)
                await asyncio.sleep(0.05)
            assert here.vllm.adapters == {}
            with pytest.raises(ModelError, match="does not exist"):
                await here.ask()

    live(story)


def test_a_server_that_loads_no_adapters_is_said_to(tmp_path):
    async def story():
        async with world(tmp_path, updating=False) as here:
            with pytest.raises(ModelError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1") as caught:
                await here.ask()
            assert caught.value.status == 400

    live(story)


def test_an_adapter_that_is_not_there_is_its_own_words(tmp_path):
    async def story():
        async with world(tmp_path) as here:
            here.adapter.rmdir()
            with pytest.raises(ModelError, match="No adapter found"):
                await here.ask()

    live(story)


def test_a_model_that_is_no_adapter_is_asked_here(tmp_path):
    async def story():
        async with world(tmp_path, adapter=False) as here:
            with pytest.raises(ModelError, match="The endpoint 'built-in' cannot be reached"):
                await here.ask()

    live(story)
