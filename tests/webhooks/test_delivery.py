"""Webhooks on their way: real servers that tell a real stranger what has ended, whoever dies in between."""

import json
import threading
import time
from contextlib import closing

import httpx2
import psutil
import pytest
import sqlalchemy as sa

from databases import engine_of
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from operations.exposition import samples
from regrade.core.webhooks import EVENT_TYPES
from regrade.store.database import Database
from regrade.store.webhook_tables import webhook_deliveries
from servers import Server, serving
from stranger import Stranger, stranger
from tuning import bench
from webhooks.conftest import FLAGS


def subscribe(client, url, *event_types):
    return client.webhooks.create(name="ends", url=url, event_types=event_types or EVENT_TYPES)


def start_run(client, rows=1):
    eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
    rows = [row(index, right=True) for index in range(rows)]
    return client.evals.runs.create(eval_.id, data_source=inline_source(rows))


def unwrapped(client, endpoint, got):
    """The event, which the SDK has verified."""
    return client.webhooks.unwrap(got.body, got.headers, secret=endpoint.signing_secret)


def deliveries(url, data_dir):
    """Every row of the table."""
    with closing(Database(engine_of(url, data_dir / "regrade.sqlite3"))) as database, database.read() as connection:
        return connection.execute(sa.select(webhook_deliveries)).all()


def test_a_run_that_succeeds_is_told_to_who_wants_to_know(client):
    with stranger() as there, stranger() as deaf:
        endpoint = subscribe(client, there.url)
        subscribe(client, deaf.url, "eval.run.failed")
        run = wait(client, start_run(client))
        (got,) = there.wait(1)
        event = unwrapped(client, endpoint, got)
        assert deaf.received == []
    assert (event.type, event.data.id, event.object) == ("eval.run.succeeded", run.id, "event")
    assert event.created_at >= run.created_at
    assert event.id.startswith("evt_")
    assert got.headers["webhook-id"].startswith("wh_")
    assert set(json.loads(got.body)) == {"id", "object", "type", "created_at", "data"}


def test_runs_that_fail_or_are_canceled_are_told_and_deleted_ones_are_not(client):
    with stranger() as there:
        endpoint = subscribe(client, there.url)
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        broken = client.files.create(file=("rows.jsonl", b"not json\n"), purpose="evals")
        failed = client.evals.runs.create(
            eval_.id, data_source={"type": "jsonl", "source": {"type": "file_id", "id": broken.id}}
        )
        assert wait(client, failed).status == "failed"
        many = file_source(upload(client, (row(index, right=True) for index in range(100_000))))
        deleted = client.evals.runs.create(eval_.id, data_source=many)
        client.evals.runs.delete(deleted.id, eval_id=eval_.id)
        canceled = client.evals.runs.create(eval_.id, data_source=many)
        client.evals.runs.cancel(canceled.id, eval_id=eval_.id)
        events = [unwrapped(client, endpoint, got) for got in there.wait(2)]
        last = wait(client, start_run(client))
        assert unwrapped(client, endpoint, there.wait(3)[2]).data.id == last.id
    assert {(event.type, event.data.id) for event in events} == {
        ("eval.run.failed", failed.id),
        ("eval.run.canceled", canceled.id),
    }


def test_what_did_not_arrive_is_sent_again_under_the_same_id_with_a_new_signature(told, client):
    def drop(handler):
        handler.close_connection = True

    with stranger(500, drop, 200) as there:
        endpoint = subscribe(client, f"{there.url}?token=geheim")
        wait(client, start_run(client))
        attempts = there.wait(3)
        for got in attempts:
            unwrapped(client, endpoint, got)
    assert len({got.headers["webhook-id"] for got in attempts}) == len({got.body for got in attempts}) == 1
    stamps = [int(got.headers["webhook-timestamp"]) for got in attempts]
    assert stamps == sorted(set(stamps))
    assert all(abs(stamp - got.at) < 5 for stamp, got in zip(stamps, attempts, strict=True))
    log = "".join(told.errors)
    assert "It answered 500." in log
    assert endpoint.id in log
    assert endpoint.signing_secret not in log
    assert "geheim" not in log
    counted = {}
    deadline = time.monotonic() + 40
    while counted.get(("failed",), 0) < 2 or not counted.get(("delivered",)):
        assert time.monotonic() < deadline, counted
        time.sleep(0.2)
        found = samples(httpx2.get(f"{told.url}/metrics").text)
        counted = {key[1][1:]: value for key, value in found.items() if key[0] == "regrade_webhook_attempts_total"}
    assert found["regrade_webhooks_waiting",] == 0


def test_an_endpoint_that_hangs_holds_nobody_up(client):
    def hang(handler):
        released.wait(100)

    released = threading.Event()
    with stranger(hang) as hanging, stranger() as there:
        subscribe(client, hanging.url)
        endpoint = subscribe(client, there.url)
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        runs = [
            client.evals.runs.create(eval_.id, data_source=inline_source([row(0, right=True)])) for _ in range(12)
        ]
        told = {unwrapped(client, endpoint, got).data.id for got in there.wait(12)}
        assert not released.is_set()
        released.set()
    assert told == {run.id for run in runs}


@pytest.fixture
def two_workers(tmp_path):
    with serving(tmp_path / "data", "--workers", "2", *FLAGS) as server:
        yield server


def test_two_workers_send_each_event_once(two_workers):
    with two_workers.client() as client, stranger() as there:
        endpoint = subscribe(client, there.url)
        eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[EXACT])
        source = inline_source([row(0, right=True)])
        runs = [client.evals.runs.create(eval_.id, data_source=source) for _ in range(15)]
        told = [unwrapped(client, endpoint, got).data.id for got in there.wait(15)]
        deadline = time.monotonic() + 30
        while any(each.due_at is not None for each in deliveries("sqlite", two_workers.data_dir)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(there.received) == 15
    assert sorted(told) == sorted(run.id for run in runs)


def test_an_event_outlives_kill_9_between_the_end_and_the_delivery(tmp_path, new_database_url):
    flags = ("--database-url", new_database_url(), *FLAGS)
    nobody = Stranger()
    nobody.close()
    server = Server(tmp_path / "data", *flags)
    with server.client() as client:
        endpoint = subscribe(client, nobody.url)
        run = wait(client, start_run(client))
    server.kill()
    with stranger(port=nobody.port) as there, serving(tmp_path / "data", *flags) as server:
        (got,) = there.wait(1)
        with server.client() as client:
            event = unwrapped(client, endpoint, got)
    assert (event.type, event.data.id) == ("eval.run.succeeded", run.id)


def test_an_event_outlives_kill_9_in_the_middle_of_its_delivery(tmp_path):
    def die(handler):
        for worker in psutil.Process(server.process.pid).children():
            worker.kill()
        server.kill()

    with stranger(die, 200) as there:
        server = Server(tmp_path / "data", *FLAGS)
        with server.client() as client:
            endpoint = subscribe(client, there.url)
            start_run(client)
            there.wait(1)
        server.process.wait(30)
        with serving(tmp_path / "data", *FLAGS) as again, again.client() as client:
            first, second = there.wait(2)[:2]
            assert unwrapped(client, endpoint, second) == unwrapped(client, endpoint, first)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_who_is_told_to_stop_ends_the_delivery_that_is_under_way(tmp_path):
    def slow(handler):
        begun.set()
        time.sleep(1)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    begun = threading.Event()
    with stranger(slow) as there, serving(tmp_path / "data", *FLAGS) as server:
        with server.client() as client:
            subscribe(client, there.url)
            start_run(client)
        assert begun.wait(60)
        assert server.stop() == 0
    (delivery,) = deliveries("sqlite", tmp_path / "data")
    assert (delivery.delivered, delivery.attempts) == (True, 1)


def test_the_ends_of_jobs_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRADE_WEBHOOK_HTTP", "true")
    monkeypatch.setenv("REGRADE_WEBHOOK_PRIVATE_NETWORKS", "127.0.0.0/8")
    models = {"base": {}, "slow": {"step_s": 0.3}, "greedy": {"fails": "There is not enough memory."}}
    with stranger() as there, bench.tuning_server(tmp_path, models) as server, server.client() as client:
        endpoint = subscribe(client, there.url)
        ended = {
            ("fine_tuning.job.succeeded", bench.wait(client, bench.create(client)).id),
            ("fine_tuning.job.failed", bench.wait(client, bench.create(client, model="greedy")).id),
        }
        canceled = bench.create(client, model="slow")
        client.fine_tuning.jobs.cancel(canceled.id)
        ended.add(("fine_tuning.job.cancelled", canceled.id))
        events = [unwrapped(client, endpoint, got) for got in there.wait(3)]
    assert {(event.type, event.data.id) for event in events} == ended


@pytest.mark.parametrize("path", ["/v1", "/openai/v1", "/openai"])
def test_endpoints_answer_under_every_prefix(told, client, path):
    endpoint = subscribe(client, "https://example.com/")
    with httpx2.Client(base_url=f"{told.url}{path}") as http:
        assert http.get(f"/webhook_endpoints/{endpoint.id}").json()["id"] == endpoint.id
        assert http.get("/webhook_event_types").json()["data"] == list(EVENT_TYPES)
