"""How long, and how often, an endpoint that fails is told again: with a clock that is set by hand."""

import asyncio
import itertools
import time
from threading import Thread

import pytest
import sqlalchemy as sa
from openai import InvalidWebhookSignatureError, OpenAI

from databases import open_database
from regrade.core.addresses import Allowed
from regrade.core.metrics import WEBHOOK_ATTEMPTS, Metrics
from regrade.core.webhooks import EVENT_TYPES, SigningSecret, WebhookEndpoint, new_secret
from regrade.outbound import Outbound
from regrade.store.webhook_deliveries import SqlWebhookDeliveries, announce
from regrade.store.webhook_endpoints import SqlWebhookEndpoints
from regrade.store.webhook_tables import webhook_deliveries
from regrade.workflows.webhook_delivery import LONGEST_PAUSE_SECONDS, PATIENCE_SECONDS, WebhookDeliveries
from stranger import stranger
from worlds import HandClock

CLIENT = OpenAI(api_key="unused")
SECRET = new_secret("s" * 43)
EVER = 10**10
OUTCOMES = ("delivered", "failed", "given_up")


@pytest.fixture
def database(tmp_path):
    with open_database("sqlite", tmp_path / "store.sqlite3") as database:
        yield database


class Delivering:
    """One worker's deliveries, in a thread with an event loop."""

    def __init__(self, database, clock, *, timeout_s=5):
        self._metrics = Metrics()
        self.deliveries = WebhookDeliveries(
            SqlWebhookDeliveries(database),
            Outbound(allowed=Allowed.read(["127.0.0.0/8"]), http=True, timeout_s=timeout_s),
            clock,
            jitter=lambda: 0.5,
            metrics=self._metrics,
            look_s=0.005,
        )
        self._database = database
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = Thread(target=lambda: self._loop.run_until_complete(self.deliveries.run(self._stop)))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def row(self):
        with self._database.read() as connection:
            return connection.execute(sa.select(webhook_deliveries)).one_or_none()

    def after(self, attempts):
        """The delivery once it is known what came of so many attempts."""
        deadline = time.monotonic() + 30
        while sum(self._metrics.of(WEBHOOK_ATTEMPTS, each).values[0] for each in OUTCOMES) < attempts:
            assert time.monotonic() < deadline, self.row()
            time.sleep(0.002)
        return self.row()


def subscribe(database, url, *secrets, now):
    """An endpoint, and an event for it."""
    endpoint = WebhookEndpoint(
        id="we_1",
        project="p",
        name="n",
        url=url,
        event_types=EVENT_TYPES,
        created_at=now,
        updated_at=now,
        secrets=secrets or (SECRET,),
    )
    assert SqlWebhookEndpoints(database).add(endpoint, None, most=10)
    with database.write() as connection:
        announce(connection, "p", "eval.run.failed", "evalrun_1", now=now)


def test_pauses_grow_to_six_hours_and_after_three_days_it_is_given_up(database):
    clock = HandClock()
    began = clock.time
    times = []
    with stranger(500) as there, Delivering(database, clock) as worker:
        subscribe(database, there.url, now=began)
        for attempt in itertools.count(1):
            row = worker.after(attempt)
            times.append(clock.time)
            if row.due_at is None:
                break
            clock.time = row.due_at
        received = there.received
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [2, 3, 6]
    assert max(pauses) == LONGEST_PAUSE_SECONDS * 3 // 4
    assert PATIENCE_SECONDS - LONGEST_PAUSE_SECONDS < times[-1] - began <= PATIENCE_SECONDS
    assert (row.delivered, row.ended_at) == (False, times[-1])
    assert [int(got.headers["webhook-timestamp"]) for got in received] == times
    for got in received:
        CLIENT.webhooks.verify_signature(got.body, got.headers, secret=SECRET.text, tolerance=EVER)


def test_only_2xx_is_success(database):
    def silent(handler):
        time.sleep(1)

    clock = HandClock()
    with stranger(307, 304, 404, 500, silent, 299) as there, Delivering(database, clock, timeout_s=0.3) as worker:
        subscribe(database, there.url, now=clock.time)
        for attempt in range(1, 6):
            clock.time = worker.after(attempt).due_at
        assert worker.after(6).delivered
        assert len(there.received) == 6


def test_an_old_secret_signs_until_its_time_is_over(database):
    clock = HandClock()
    old = SigningSecret(text=new_secret("o" * 43).text, expires_at=clock.time + 2)
    with stranger(500, 200) as there, Delivering(database, clock) as worker:
        subscribe(database, there.url, SECRET, old, now=clock.time)
        clock.time = worker.after(1).due_at
        assert worker.after(2).delivered
        first, second = there.received
    CLIENT.webhooks.verify_signature(first.body, first.headers, secret=old.text, tolerance=EVER)
    CLIENT.webhooks.verify_signature(second.body, second.headers, secret=SECRET.text, tolerance=EVER)
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(second.body, second.headers, secret=old.text, tolerance=EVER)


def test_what_has_ended_is_forgotten_after_a_week(database):
    clock = HandClock()
    with stranger(200) as there, Delivering(database, clock) as worker:
        subscribe(database, there.url, now=clock.time)
        worker.after(1)
        clock.time += 7 * 86_400
        worker.deliveries.sweep()
        assert worker.row().delivered
        clock.time += 1
        worker.deliveries.sweep()
        assert worker.row() is None


def test_a_url_that_is_allowed_no_more_is_not_asked(database):
    clock = HandClock()
    with stranger(200) as there, Delivering(database, clock) as worker:
        subscribe(database, there.url.replace("127.0.0.1", "10.0.0.1"), now=clock.time)
        assert worker.after(1).due_at == clock.time + 2
