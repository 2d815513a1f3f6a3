"""Being told to stop: what is under way ends, the rest is handed over, and no model is asked twice."""

import signal
import time

import pytest

from evals import wait
from grading_workers import fleet
from upstream import upstream

ROWS = 240
TEXTS = [f"row {n}" for n in range(ROWS)]


@pytest.mark.timeout(240)
def test_a_worker_that_is_told_to_stop_hands_over_without_repeating_calls(tmp_path):
    with upstream() as up, fleet(tmp_path, up.url, "--concurrency", "8") as running:
        first = running.add().wait_until_ready()
        run = running.run("echo@slow=0.3", TEXTS)
        running.wait_for_items(run, 20)
        assert first.stop() == 0
        left = running.now(run).result_counts.total
        assert 20 <= left < ROWS
        assert up.state()["requests"] == left
        second = running.add().wait_until_ready()
        run = wait(running.client, run, 120)
        assert run.result_counts.passed == ROWS
        assert up.state()["requests"] == ROWS
        assert second.stop() == 0


@pytest.mark.timeout(240)
def test_a_second_signal_ends_a_worker_at_once_and_loses_nothing(tmp_path):
    flags = ("--concurrency", "4", "--worker-takeover-seconds", "2")
    with upstream() as up, fleet(tmp_path, up.url, *flags) as running:
        first = running.add().wait_until_ready()
        run = running.run("echo@hangx1", TEXTS[:8])
        while up.state()["requests"] < 4:
            time.sleep(0.02)
        first.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert first.lives, "calls are under way, and there is time for them"
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(10) == 1
        running.add()
        # The first four are asked again; the other four hang when they are asked for the first time.
        running.wait_for_items(run, 4)
        assert running.rows_of(run) == [0, 1, 2, 3]


@pytest.mark.timeout(240)
def test_cancelling_reaches_every_worker_while_all_rows_wait_for_a_model(tmp_path):
    with upstream() as up, fleet(tmp_path, up.url, "--concurrency", "8") as running:
        for worker in [running.add(), running.add()]:
            worker.wait_until_ready()
        run = running.run("echo@hang", [f"row {n}" for n in range(1_000)])
        while up.state()["in_flight"] < 16:
            time.sleep(0.02)
        running.client.evals.runs.cancel(run.id, eval_id=run.eval_id)
        while up.state()["in_flight"]:
            time.sleep(0.02)
        # A chunk that had not heard of it yet may have used the turns that another one gave back.
        assert 16 <= up.state()["abandoned"] <= 3 * 16
        asked = up.state()["requests"]
        time.sleep(1)
        assert up.state()["requests"] == asked
