"""Lists of large objects: their pages are short, and nothing is left out."""

import httpx2
import pytest

from evals import EXACT, file_source, upload, wait
from regrade.store.pages import MAX_PAGE_BYTES

SIZE = 3_000_000
CONFIG = {"type": "custom", "item_schema": {}}


@pytest.fixture(scope="module")
def large(server):
    """An eval of a run of rows that together are too large for a page."""
    with server.client() as client:
        made = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        row = {"item": {"answer": "1", "reference": "1", "text": "x" * SIZE}}
        run = client.evals.runs.create(made.id, data_source=file_source(upload(client, [row] * 10)))
        yield wait(client, run)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_items(client, large, order):
    items = client.evals.runs.output_items
    first = items.list(large.id, eval_id=large.eval_id, order=order, limit=100)
    assert first.has_more
    assert len(first.data) * SIZE <= MAX_PAGE_BYTES + SIZE
    indexes = [item.datasource_item_id for item in first]
    assert indexes == (list(range(10)) if order == "asc" else list(range(9, -1, -1)))


def test_the_report_shows_what_fits_and_leads_to_the_rest(large):
    page = httpx2.get(large.report_url, timeout=60)
    assert page.status_code == 200
    assert "Next" in page.text


def test_evals_and_runs(client, large):
    made = [
        client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT], extra_body={"note": "x" * SIZE}).id
        for _ in range(8)
    ]
    first = client.evals.list(order="desc", limit=100)
    assert len(first.data) < 8
    assert [found.id for _, found in zip(made, first, strict=False)] == made[::-1]
    runs = [
        client.evals.runs.create(
            made[0],
            data_source={"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {"a": 1}}]}},
            extra_body={"note": "x" * SIZE},
        ).id
        for _ in range(8)
    ]
    assert len(client.evals.runs.list(made[0], limit=100).data) < 8
    assert [run.id for run in client.evals.runs.list(made[0], limit=100)] == runs
    for eval_id in made:
        client.evals.delete(eval_id)
