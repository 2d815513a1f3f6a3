"""Deliveries in the store: written with the end itself, claimed by one at a time, due again."""

import itertools
import threading
from dataclasses import replace

import pytest

from databases import open_database
from regrade.core.entities import Chunk, Eval, FineTuningJob, JobEvent, PageRequest, Run
from regrade.core.errors import InvalidError
from regrade.core.jsontext import loads
from regrade.core.results import Tally
from regrade.core.webhooks import EVENT_TYPES, WebhookEndpoint, new_secret
from regrade.store.chunks import SqlChunks
from regrade.store.evals import SqlEvals
from regrade.store.fine_tuning import SqlFineTuning
from regrade.store.runs import SqlRuns
from regrade.store.webhook_deliveries import SqlWebhookDeliveries
from regrade.store.webhook_endpoints import SqlWebhookEndpoints

NOW = 1_700_000_000
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def database(new_database_url, tmp_path_factory):
    with open_database(new_database_url(), tmp_path_factory.mktemp("store") / "store.sqlite3") as database:
        yield database


class World:
    """A project of its own in the store."""

    def __init__(self, database):
        self.project = f"project {next(numbers)}"
        self.runs, self.chunks, self.evals = SqlRuns(database), SqlChunks(database), SqlEvals(database)
        self.jobs, self.endpoints = SqlFineTuning(database), SqlWebhookEndpoints(database)
        self.deliveries = SqlWebhookDeliveries(database)

    def endpoint(self, *event_types):
        endpoint = WebhookEndpoint(
            id=f"we_{next(numbers):032x}",
            project=self.project,
            name="n",
            url="https://example.com/",
            event_types=event_types or EVENT_TYPES,
            created_at=NOW,
            updated_at=NOW,
            secrets=(new_secret("s" * 43),),
        )
        assert self.endpoints.add(endpoint, None, most=100)
        return endpoint

    def eval(self):
        eval_id = f"eval_{next(numbers):032x}"
        eval_ = Eval(
            id=eval_id,
            project=self.project,
            name="",
            created_at=NOW,
            updated_at=NOW,
            data_source_config={},
            testing_criteria=[],
            metadata={},
        )
        self.evals.add(eval_, None)
        return eval_id

    def run(self, eval_id=None):
        run = Run(
            id=f"evalrun_{next(numbers):032x}",
            eval_id=eval_id or self.eval(),
            project=self.project,
            name="",
            status="queued",
            model=None,
            created_at=NOW,
            data_source={},
            metadata={},
        )
        return self.runs.add(run, None)

    def job(self):
        job = FineTuningJob(
            id=f"ftjob-{next(numbers):032x}",
            project=self.project,
            status="validating_files",
            model="m",
            base="m",
            created_at=NOW,
            training_file="file-1",
            validation_file=None,
            training_blob="b",
            validation_blob=None,
            suffix=None,
            seed=1,
            azure=False,
            method={},
            integrations=[],
            metadata=None,
        )
        self.jobs.add(job, [], None)
        return self.jobs.claim(job.id)

    def claim(self, now=NOW, until=None, limit=100, each=100, busy=()):
        """What is claimed for this project; other tests' deliveries are claimed and left."""
        found = self.deliveries.claim(now=now, until=until or now + 30, limit=limit, each=each, busy=busy)
        return [delivery for delivery in found if delivery.endpoint.project == self.project]

    def told(self):
        """(type, object) of everything that is due."""
        events = [loads(delivery.body) for delivery in self.claim(limit=10_000)]
        return sorted((event["type"], event["data"]["id"]) for event in events)


@pytest.fixture
def world(database):
    return World(database)


def test_every_end_of_a_run_is_told_once(world):
    world.endpoint()
    done, failed, canceled, errored = (world.run() for _ in range(4))
    world.chunks.plan(done, [], source_blob="b", tally={}, now=NOW)
    for _ in range(2):
        world.chunks.finish(done, now=NOW)
        world.runs.fail(failed, {"code": "x", "message": "m"}, now=NOW)
        world.runs.cancel(canceled, now=NOW)
        world.runs.cancel(done, now=NOW)
    chunk = Chunk(run_number=errored.number, k=0, first_row=0, rows=1, first_line=1, start=0, stop=1)
    world.chunks.plan(errored, [chunk], source_blob="b", tally={}, now=NOW)
    tally = Tally()
    tally.errored = 1
    world.chunks.flush(world.chunks.claim(errored, 0, "w"), [], tally, done=True)
    world.chunks.finish(errored, now=NOW)
    assert world.told() == sorted(
        [
            ("eval.run.succeeded", done.id),
            ("eval.run.failed", failed.id),
            ("eval.run.canceled", canceled.id),
            ("eval.run.failed", errored.id),
        ]
    )
    assert world.told() == []


def test_of_deleted_runs_nothing_is_told(world):
    world.endpoint()
    world.runs.delete(world.run(), now=NOW)
    eval_id = world.eval()
    world.run(eval_id)
    world.evals.delete(world.project, eval_id, now=NOW)
    assert world.told() == []


def test_every_end_of_a_job_is_told_once(world):
    world.endpoint()
    event = JobEvent(id="ftevent-1", created_at=NOW, message="m")
    jobs = {status: world.job() for status in ("succeeded", "failed", "cancelled")}
    world.jobs.save(replace(jobs["succeeded"], status="running"), now=NOW)
    world.jobs.save(replace(jobs["failed"], status="queued"), now=NOW)
    for _ in range(2):
        for status in ("succeeded", "failed"):
            world.jobs.save(replace(jobs[status], status=status), now=NOW)
        world.jobs.cancel(jobs["cancelled"], event, now=NOW)
        world.jobs.cancel(jobs["succeeded"], event, now=NOW)
    assert world.told() == sorted((f"fine_tuning.job.{status}", job.id) for status, job in jobs.items())


def test_pausing_and_resuming_a_job_tells_nothing(world):
    world.endpoint()
    job = world.job()
    event = JobEvent(id="ftevent-1", created_at=NOW, message="m")
    world.jobs.save(replace(job, status="running"), now=NOW)
    world.jobs.ask_to_pause(job, event)
    world.jobs.save(replace(job, status="paused"), now=NOW)
    world.jobs.resume(job, event)
    assert world.told() == []


def test_only_who_wants_to_know_is_told(world, database):
    wanting = world.endpoint("eval.run.canceled")
    world.endpoint("eval.run.failed")
    World(database).endpoint()
    world.runs.cancel(world.run(), now=NOW)
    assert [delivery.endpoint.id for delivery in world.claim()] == [wanting.id]


def test_a_claim_holds_until_its_end_and_then_anybody_may_try(world):
    world.endpoint()
    world.runs.cancel(world.run(), now=NOW)
    assert world.claim(now=NOW - 1) == []
    (first,) = world.claim(until=NOW + 30)
    assert world.claim(now=NOW + 29) == []
    (second,) = world.claim(now=NOW + 30)
    assert (second.id, second.body, second.attempts) == (first.id, first.body, first.attempts + 1)
    world.deliveries.end(first, delivered=False, now=NOW)  # the claim was lost: nothing happens
    world.deliveries.put_off(first, due_at=0)
    assert world.claim(now=NOW + 59) == []
    world.deliveries.put_off(second, due_at=NOW + 100)
    assert world.claim(now=NOW + 99) == []
    (third,) = world.claim(now=NOW + 100)
    world.deliveries.end(third, delivered=True, now=NOW + 101)
    assert world.claim(now=NOW + 10_000) == []


def test_several_workers_at_once_claim_each_delivery_once(world):
    endpoint = world.endpoint()
    for _ in range(20):
        world.runs.cancel(world.run(), now=NOW)
    claimed = []

    def work():
        while found := world.claim(limit=3):
            claimed.extend(delivery.id for delivery in found)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    claimed += [delivery.id for delivery in world.claim()]  # whoever met another one's rows came back empty
    assert len(claimed) == len(set(claimed)) == 20
    world.endpoints.delete(world.project, endpoint.id, now=NOW)


def test_an_endpoint_with_a_long_queue_leaves_room_for_others(world):
    crowded = world.endpoint("eval.run.canceled")
    for _ in range(8):
        world.runs.cancel(world.run(), now=NOW)
    other = world.endpoint("eval.run.failed")
    world.runs.fail(world.run(), {"code": "x", "message": "m"}, now=NOW)
    first = [delivery.endpoint.id for delivery in world.claim(limit=1_000, each=2)]
    assert sorted(first) == sorted([crowded.id, crowded.id, other.id])
    assert world.claim(limit=1_000, each=2, busy=[crowded.id]) == []


def test_a_deleted_endpoint_is_told_nothing_more(world):
    endpoint = world.endpoint()
    world.runs.cancel(world.run(), now=NOW)
    (claimed,) = world.claim()
    assert world.endpoints.delete(world.project, endpoint.id, now=NOW)
    assert not world.endpoints.delete(world.project, endpoint.id, now=NOW)
    world.deliveries.put_off(claimed, due_at=NOW)
    world.runs.cancel(world.run(), now=NOW)
    assert world.claim(now=NOW + 1_000) == []


def test_ended_deliveries_are_forgotten_and_others_are_kept(world, database):
    world.endpoint()
    for _ in range(3):
        world.runs.cancel(world.run(), now=NOW)
    ended, waiting, _ = world.claim()
    world.deliveries.end(ended, delivered=True, now=NOW)
    assert world.deliveries.sweep(before=NOW, limit=100) == 0
    assert world.deliveries.sweep(before=NOW + 1, limit=100) >= 1
    assert waiting.id in [delivery.id for delivery in world.claim(now=NOW + 30)]


def test_an_end_that_is_rolled_back_is_not_told(world, database, monkeypatch):
    from regrade.store import runs

    world.endpoint()
    run = world.run()

    def announce_and_break(*args, **kwargs):
        real(*args, **kwargs)
        raise RuntimeError

    real = runs.announce
    monkeypatch.setattr(runs, "announce", announce_and_break)
    with pytest.raises(RuntimeError):
        world.runs.cancel(run, now=NOW)
    monkeypatch.undo()
    assert world.told() == []
    assert world.runs.find(run.id).status == "queued"


def test_of_many_rotations_each_old_secret_lives_as_promised(world):
    endpoint = world.endpoint()
    for number in range(3):
        secret = new_secret(str(number) * 43)
        world.endpoints.rotate(
            world.project, endpoint.id, secret, None, old_until=NOW + 100 + number, now=NOW + number
        )
    secrets = world.endpoints.get(world.project, endpoint.id).secrets
    assert [secret.expires_at for secret in secrets] == [None, NOW + 102, NOW + 101, NOW + 100]
    world.endpoints.rotate(
        world.project, endpoint.id, new_secret("l" * 43), None, old_until=NOW + 300, now=NOW + 101
    )
    assert len(world.endpoints.get(world.project, endpoint.id).secrets) == 3
    world.endpoints.rotate(world.project, endpoint.id, new_secret("m" * 43), None, old_until=None, now=NOW)
    assert len(world.endpoints.get(world.project, endpoint.id).secrets) == 1


def test_pages_of_endpoints_hold_still(world):
    made = [world.endpoint().id for _ in range(3)]
    world.endpoints.delete(world.project, made[1], now=NOW)
    page = world.endpoints.page(world.project, PageRequest(limit=1, after=made[1], order="desc"))
    assert ([endpoint.id for endpoint in page.data], page.has_more) == ([made[0]], False)
    with pytest.raises(InvalidError):
        world.endpoints.page("another project", PageRequest(limit=1, after=made[0], order="desc"))
