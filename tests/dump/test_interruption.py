"""A dump survives the end of its process at any moment: nothing is lost, nothing comes twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from dump.hosted import KEY, HostedApi, account
from dump.saving import held, save
from regrade.core.errors import StateError
from regrade.dump.check import check
from regrade.dump.resources import Scope


@pytest.fixture
def calm(tmp_path):
    """An undisturbed dump of the account that the tests walk, and how many requests it took."""
    with HostedApi(account(evals=2, items=120)) as api:
        save(api, tmp_path / "calm")
        return held(tmp_path / "calm"), len(api.requests)


def test_interrupted_at_every_request_and_gone_on_with_equals_undisturbed(calm, tmp_path):
    undisturbed, requests = calm
    for last in range(requests):
        out = tmp_path / str(last)
        with HostedApi(account(evals=2, items=120)) as api:
            api.fault = lambda request, number, last=last, api=api: api.interrupt() if number == last else None
            with pytest.raises(asyncio.CancelledError):
                save(api, out)
            assert not check(out).whole
            assert not check(out).problems
            api.fault = lambda request, number: None
            save(api, out)
        assert held(out) == undisturbed, f"interrupted at request {last}"
        assert check(out).whole


def test_interrupted_again_and_again_it_still_comes_to_its_end(calm, tmp_path):
    undisturbed, _ = calm
    calls = 0
    with HostedApi(account(evals=2, items=120)) as api:
        while True:
            calls += 1
            stop_at = len(api.requests) + 5
            api.fault = lambda request, number, at=stop_at: api.interrupt() if number == at else None
            try:
                save(api, tmp_path / "dump")
            except asyncio.CancelledError:
                continue
            break
    assert calls > 3
    assert held(tmp_path / "dump") == undisturbed


def test_what_a_torn_write_left_is_cut_off(calm, tmp_path):
    undisturbed, requests = calm
    out = tmp_path / "dump"
    with HostedApi(account(evals=2, items=120)) as api:
        api.fault = lambda request, number: api.interrupt() if number == requests // 2 else None
        with pytest.raises(asyncio.CancelledError):
            save(api, out)
        for path in [*out.glob("*.jsonl.gz"), out / "files.jsonl.gz"]:
            with path.open("ab") as file:
                file.write(b"\x1f\x8b\x08half a member")
        (out / "incoming" / "file-train").write_bytes(b"half a file")
        (out / "cursor.json.partial").write_bytes(b"{")
        save(api, out)
    assert held(out) == undisturbed
    assert check(out).whole


class DiedError(BaseException):
    """The process is no more: whatever it flushes from here on fails."""


class Disk:
    """os.fsync that dies at a chosen call, and at every one after it."""

    def __init__(self):
        self.flush = os.fsync
        self.calls = 0
        self.dies_at = None

    def __call__(self, descriptor):
        self.calls += 1
        if self.dies_at is not None and self.calls > self.dies_at:
            raise DiedError
        self.flush(descriptor)


def test_ended_at_every_flush_to_the_disk_and_gone_on_with_equals_undisturbed(tmp_path, monkeypatch):
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk)
    with HostedApi(account(evals=1, items=2)) as api:
        scope = Scope(evals=(api.held.lists["/evals"][0]["id"],))  # few requests, and every kind of write
        save(api, tmp_path / "calm", scope=scope)
        undisturbed = held(tmp_path / "calm")
        for last in range(disk.calls):
            out = tmp_path / str(last)
            disk.calls, disk.dies_at = 0, last
            with pytest.raises(DiedError):
                save(api, out, scope=scope)
            disk.dies_at = None
            save(api, out, scope=scope)
            assert held(out) == undisturbed, f"ended at flush {last}"
            assert check(out).whole


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_random_moments_and_gone_on_with_equals_undisturbed(calm, tmp_path, seed):
    undisturbed, requests = calm
    chance = random.Random(seed)
    out = tmp_path / "dump"
    with HostedApi(account(evals=2, items=120)) as api:
        for _ in range(3):
            process = start(api, out)
            at = len(api.requests) + chance.randrange(requests // 4)
            timer = threading.Timer(chance.random() * 0.01, process.send_signal, [signal.SIGKILL])
            api.fault = lambda request, number, at=at, timer=timer: timer.start() if number == at else None
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
        api.fault = lambda request, number: None
        process = start(api, out)
        text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Everything found is saved." in text
    assert held(out) == undisturbed
    assert check(out).whole


def test_two_processes_never_write_the_same_dump(tmp_path):
    refused = []

    def save_meanwhile(request, number):
        if number == 3:
            with pytest.raises(StateError, match="Another process is writing") as caught:
                save(api, tmp_path / "dump")
            refused.append(caught.value)

    with HostedApi(account()) as api:
        api.fault = save_meanwhile
        save(api, tmp_path / "dump")
    assert refused


def test_a_walk_stopped_by_a_key_press_says_how_to_go_on(tmp_path):
    with HostedApi(account()) as api:
        process = start(api, tmp_path / "dump")
        api.fault = lambda request, number: os.kill(process.pid, signal.SIGINT) if number == 5 else None
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command" in errors
    assert json.loads((tmp_path / "dump" / "manifest.json").read_bytes())["finished_at"] is None


def start(api, out):
    """The real command, in a process of its own."""
    command = [sys.executable, "-m", "regrade", "import", "openai", "--dump-only", "--base-url", api.base_url]
    environment = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": KEY}
    return subprocess.Popen(
        [*command, "--out", str(out)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
