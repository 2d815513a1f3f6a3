"""The engine's process: there when it is needed, gone with its host; its death is not the server's."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

from inference.local.conftest import Place, chat, said
from regrade.core.errors import ModelError
from regrade.inference.local.host import endpoint
from regrade.settings import engine_environment

LONG = {"max_tokens": 480, "temperature": 0, "stop": "never to be seen"}


def engines(parent=None):
    """The engine processes that this process, or another, has started."""
    found = []
    for each in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie is none either
            found += [each] if "regrade.inference.local" in each.cmdline() else []
    return found


def eventually(true):
    for _ in range(1200):
        if true():
            return True
        time.sleep(0.05)
    return False


def test_an_engine_is_there_when_it_is_needed_and_private(place):
    before = set(engines())
    with place.engine(idle_s=1.0):
        assert eventually(lambda: Path(endpoint(place.data_dir).socket).exists())
        assert set(engines()) == before
        first = place.ask(chat(temperature=0))[0]
        folder = Path(endpoint(place.data_dir).socket).parent
        assert folder.parent == place.data_dir
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert eventually(lambda: not set(engines()) - before)
        assert said(place.ask(chat(temperature=0))[0]) == said(first)
    assert set(engines()) == before


def test_calls_go_on_when_the_engine_is_killed(place):
    async def asked():
        async with place.models() as models:
            calls = [asyncio.create_task(models.ask(chat(f"Hello {n}", **LONG))) for n in range(24)]
            assert await asyncio.to_thread(eventually, lambda: _busy(place))
            (engine,) = set(engines()) - before
            engine.kill()
            return await asyncio.gather(*calls)

    before = set(engines())
    with place.engine():
        answers = asyncio.run(asked())
        assert max(answer.attempts for answer in answers) > 1
        assert [said(answer) for answer in answers[:2]] == [
            said(answer) for answer in place.ask(*(chat(f"Hello {n}", **LONG) for n in range(2)))
        ]


def _busy(place):
    with suppress(FileNotFoundError, ConnectionRefusedError):  # the engine is still coming up
        return any(model["users"] for model in place.status()["models"])
    return False


def test_an_engine_does_not_outlive_its_host_nor_mind_a_long_path(tmp_path, tiny):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    place = Place(deep)
    place.name(tiny=tiny)
    folder = Path(endpoint(place.data_dir).socket).parent
    host = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("keep_engine.py")), str(place.data_dir)],
        stdin=subprocess.PIPE,
        env={**engine_environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert eventually((folder / "engine.sock").exists)
        assert said(place.ask(chat())[0])
        assert deep not in folder.parents
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (engine,) = engines(host.pid)
        host.kill()
        engine.wait(20)
    finally:
        host.kill()
        host.wait()
        host.stdin.close()


@pytest.mark.long
def test_of_two_hosts_one_acts_and_the_other_takes_over(place):
    before = set(engines())
    with place.engine() as first, place.engine():
        assert said(place.ask(chat())[0])
        assert len(set(engines()) - before) == 1
        first.stop()
        assert said(place.ask(chat())[0])


def test_without_any_host_calls_say_that_the_engine_cannot_be_reached(place):
    with pytest.raises(ModelError, match="'built-in' cannot be reached"):
        place.ask(chat(), patience_s=0.2)
