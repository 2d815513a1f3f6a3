"""PostgreSQL goes away while runs are graded: they go on when it is back, and nothing is lost or counted twice."""

import time

import pytest

from databases import postgres_server
from evals import CONFIG, EXACT, file_source, row, upload, wait
from servers import serving

ROWS = 30_000


@pytest.fixture
def own_postgres():
    """A server of its own: others are not to be disturbed."""
    with postgres_server(durable=True) as running:
        yield running


def test_a_run_goes_on_after_its_database_crashed_twice(own_postgres, tmp_path):
    url = own_postgres.new()
    with serving(tmp_path / "data", "--database-url", url) as server, server.client(max_retries=5) as client:
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        file = upload(client, (row(index, right=index % 3 != 0) for index in range(ROWS)))
        run = client.evals.runs.create(eval_.id, data_source=file_source(file))
        total = 0
        for _ in range(2):
            while run.result_counts.total <= total and run.status in ("queued", "in_progress"):
                run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
                time.sleep(0.01)
            assert run.status == "in_progress", "the run has ended too early: the test has shown nothing"
            own_postgres.crash()
            run = client.evals.runs.retrieve(run.id, eval_id=eval_.id)
            total = run.result_counts.total
        run = wait(client, run)
        right = sum(index % 3 != 0 for index in range(ROWS))
        assert run.status == "completed"
        assert (run.result_counts.passed, run.result_counts.failed) == (right, ROWS - right)
        last = client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=1, order="desc").data[0]
        assert last.datasource_item_id == ROWS - 1
