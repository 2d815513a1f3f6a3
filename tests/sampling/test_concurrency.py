"""How many calls a worker has in flight is the operator's to say."""

import time

import pytest

from grading_workers import fleet
from upstream import upstream


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_worker_with_a_high_concurrency_has_more_calls_in_flight_than_others_have_rows(tmp_path):
    with (
        upstream("--latency-ms", "1000", "--forget") as up,
        fleet(tmp_path, up.url, "--concurrency", "800", own_workers=1) as running,
    ):
        running.run("echo", [f"row {n}" for n in range(2_000)])
        while up.state()["in_flight"] <= 512:
            time.sleep(0.05)
