"""A short run among long ones: it does not wait for them, whatever they wait for."""

import pytest

from evals import CONFIG, EXACT, file_source, row, upload, wait
from grading_workers import fleet
from servers import serving
from upstream import upstream


@pytest.mark.timeout(240)
def test_ten_rows_pass_long_runs_that_hold_every_call(tmp_path):
    with upstream("--latency-ms", "300") as up, fleet(tmp_path, up.url, "--concurrency", "8") as running:
        running.add().wait_until_ready()
        long = [running.run("echo", [f"{name} {n}" for n in range(20_000)]) for name in "abc"]
        for run in long:
            running.wait_for_items(run, 20)
        before = up.state()["requests"]
        short = wait(running.client, running.run("echo", [f"short {n}" for n in range(10)]))
        assert short.result_counts.passed == 10
        # Eight calls at a time: those that were under way, and those that were made until the run was planned.
        assert up.state()["requests"] - before < 10 + 400
        for run in long:
            assert running.now(run).status == "in_progress"
            running.client.evals.runs.cancel(run.id, eval_id=run.eval_id)


@pytest.mark.timeout(240)
def test_ten_rows_pass_long_runs_that_only_compute(tmp_path):
    with serving(tmp_path / "data") as server, server.client() as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        file = upload(client, (row(n, right=True) for n in range(150_000)))
        long = [client.evals.runs.create(eval_.id, data_source=file_source(file)) for _ in range(3)]
        while client.evals.runs.retrieve(long[0].id, eval_id=eval_.id).result_counts.total == 0:
            pass
        ten = upload(client, [row(n, right=True) for n in range(10)])
        short = wait(client, client.evals.runs.create(eval_.id, data_source=file_source(ten)))
        assert short.result_counts.passed == 10
        totals = [client.evals.runs.retrieve(run.id, eval_id=eval_.id).result_counts.total for run in long]
        assert max(totals) < 150_000
        for run in long:
            client.evals.runs.cancel(run.id, eval_id=eval_.id)
