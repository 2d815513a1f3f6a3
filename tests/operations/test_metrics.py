"""/metrics of real servers."""

import time

import httpx2
import psutil
import pytest

from cli.commands import regrade
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from operations.exposition import samples
from servers import serving


def scrape(server, **headers):
    answer = httpx2.get(f"{server.url}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.text)


def scrape_until(server, holds, seconds=40):
    """Workers tell what they have counted every few seconds."""
    deadline = time.monotonic() + seconds
    while not holds(found := scrape(server)):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def items(found, status):
    return found.get(("regrade_items_total", ("status", status)), 0)


def graded(client, count, wrong=0):
    """Grade so many rows."""
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
    rows = [row(index, right=index >= wrong) for index in range(count)]
    return wait(client, client.evals.runs.create(eval_.id, data_source=file_source(upload(client, rows))))


def test_requests_are_counted_by_route_and_status(watched):
    with watched.client() as client:
        client.evals.list()
    for path in ("/openai/v1/evals/eval_0", "/v1/no/such/thing", "/no/page"):
        httpx2.get(f"{watched.url}{path}")
    found = scrape(watched)

    def count(route, status):
        labels = (("method", "GET"), ("route", route), ("status", status))
        return found["regrade_http_request_seconds_count", *labels]

    assert count("/v1/evals", "200") >= 1
    assert count("/v1/evals/{eval_id}", "404") >= 1
    assert count("none", "404") >= 2


def test_calls_of_models_are_counted_by_what_became_of_them(watched):
    with watched.client() as client:
        client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "hello"}])
        eval_ = client.evals.create(
            data_source_config=CONFIG,
            testing_criteria=[{**EXACT, "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}],
        )
        run = client.evals.runs.create(
            eval_.id,
            data_source={
                "type": "completions",
                "model": "echo@500x1",
                "input_messages": {
                    "type": "template",
                    "template": [{"role": "user", "content": "{{item.answer}}"}],
                },
                "source": inline_source([row(index, right=True) for index in range(4)])["source"],
            },
        )
        assert wait(client, run).result_counts.passed == 4
    model = (("endpoint", "office"), ("model", "echo@500x1"))
    found = scrape_until(
        watched, lambda found: found.get(("regrade_model_retries_total", *model), 0) == 4, seconds=40
    )
    counts = {
        dict(key[1:])["outcome"]: value
        for key, value in found.items()
        if key[0] == "regrade_model_request_seconds_count" and set(model) <= set(key[1:])
    }
    assert counts["answered"] == 4
    assert sum(counts.values()) == 8
    assert found["regrade_model_in_flight", *model] == 0
    assert found["regrade_model_limit", ("endpoint", "office"), ("model", "echo")] >= 1


def test_runs_items_and_the_database_are_told_and_nothing_is_forgotten_with_a_worker(watched):
    before = scrape(watched)
    with watched.client() as client:
        graded(client, 25, wrong=5)
        found = scrape_until(watched, lambda found: items(found, "pass") - items(before, "pass") >= 20)
        assert items(found, "fail") - items(before, "fail") == 5
        assert found["regrade_runs", ("status", "completed")] >= 1
        assert found["regrade_chunks_waiting",] == 0
        assert found["regrade_database_bytes",] > 100_000
        assert found["regrade_database_write_seconds_count",] > 5
        assert found["regrade_workers",] == 1
        [worker] = [
            child
            for child in psutil.Process(watched.process.pid).children()
            if "regrade.supervised" in child.cmdline()
        ]
        worker.kill()
        graded(client, 10)
        after = scrape_until(watched, lambda later: items(later, "pass") - items(found, "pass") >= 10)
    counters = [key for key in found if key[0].endswith(("_total", "_count", "_bucket"))]
    assert all(after[key] >= found[key] for key in counters)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server with keys."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "key").write_text("sk-the-operators-own-key")
    with serving(folder / "data", "--workers", "0", "--admin-key-file", str(folder / "key")) as running:
        yield running


def test_where_there_are_keys_the_figures_are_for_admins(locked):

    assert httpx2.get(f"{locked.url}/metrics").status_code == 401
    assert scrape(locked, authorization="Bearer sk-the-operators-own-key")["regrade_workers",] == 0
    made = regrade("keys", "create", "--project", "team", "--data-dir", locked.data_dir)
    [plain] = [word for word in made.stdout.split() if word.startswith("sk-regrade-")]
    time.sleep(2.1)  # keys are known to a server after two seconds
    assert httpx2.get(f"{locked.url}/metrics", headers={"authorization": f"Bearer {plain}"}).status_code == 403


@pytest.mark.parametrize(("readers", "status"), [("open", 200), ("off", 404)])
def test_the_operator_says_who_may_read_them(tmp_path, readers, status):
    (tmp_path / "key").write_text("sk-the-operators-own-key")
    flags = ["--workers", "0", "--admin-key-file", str(tmp_path / "key"), "--metrics", readers]
    with serving(tmp_path / "data", *flags) as running:
        assert httpx2.get(f"{running.url}/metrics").status_code == status
