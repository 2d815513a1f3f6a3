"""Real processes that share the limits of one endpoint, which measures what it gets of them."""

import asyncio
import logging
import random
import time

import pytest
import sqlalchemy as sa

from databases import open_database
from fleets import fleet, mean_at_once, most_at_once, rates
from inference.conftest import chat, said
from regrade.store.limit_claims import SqlLimitLedger
from regrade.store.tables import limit_claims

SLOW = "echo@slow=0.5"


@pytest.fixture
def database_url(new_database_url):
    return new_database_url()


def test_a_process_with_all_the_calls_uses_the_limit_beside_idle_ones_and_all_together_keep_it(
    tmp_path, own, database_url
):
    with fleet(tmp_path, own.url, 3, database_url=database_url, max_concurrency=40) as (loaded, *idle):
        for asker in idle:
            asker.ask(model=SLOW, at_once=1, calls=1)
        loaded.ask(model=SLOW, at_once=80, seconds=5)
        for asker in (loaded, *idle):
            asker.ended()
    calls = own.calls()
    began = min(call[0] for call in calls)
    assert most_at_once(calls) <= 40
    assert mean_at_once(calls, began + 2.5, began + 5) >= 0.8 * 40


def test_rates_are_kept_and_used_in_every_ten_seconds_whoever_has_the_calls(tmp_path, own):
    """Short questions are limited by their number, long ones by their tokens."""
    limits = {"requests_per_minute": 1200, "tokens_per_minute": 240_000}
    with fleet(tmp_path, own.url, 3, **limits) as (one, two, idle):
        for asker in (one, two):
            asker.ask(model="echo", at_once=20, seconds=12)
        two.ask(model="long=300", at_once=20, seconds=12)
        idle.ask(model="long=300", at_once=1, calls=1)
        for asker in (one, two, idle):
            asker.ended()
    calls = own.calls()
    short = [call for call in calls if call[2] == "echo"]
    long = [call for call in calls if call[2] != "echo"]
    for some, limit, of in ((short, 20.0, lambda call: 1.0), (long, 4000.0, lambda call: call[3])):
        began = min(call[0] for call in some)
        assert max(rates(some, window=10, of=of, begin=began)) <= 1.1 * limit
        assert min(rates(some, window=9, of=of, begin=began + 3, end=began + 12)) >= 0.8 * limit


def test_the_part_of_a_process_that_was_killed_goes_to_the_others(tmp_path, own):
    with fleet(tmp_path, own.url, 2, max_concurrency=40) as (one, two):
        one.ask(model=SLOW, at_once=60, seconds=30)
        two.ask(model=SLOW, at_once=60, seconds=13)
        time.sleep(3)
        one.kill()
        two.ended()
    calls = own.calls()
    began = min(call[0] for call in calls)
    assert most_at_once(calls) <= 40
    assert mean_at_once(calls, began + 11, began + 12.5) >= 0.8 * 40


def test_ten_rows_of_one_project_do_not_wait_for_the_thousands_of_another(tmp_path, own):
    with fleet(tmp_path, own.url, 2, max_concurrency=20, projects={"large": 3}) as (one, two):
        for asker in (one, two):
            asker.ask(model=SLOW, project="large", at_once=60, seconds=6)
        time.sleep(3)
        one.ask(model=SLOW, project="small", at_once=10, calls=10)
        slowest = one.ended()["slowest"]
    assert slowest["small"] <= 2 * 0.5 + 2
    assert most_at_once(own.calls()) <= 20


def test_what_a_process_says_counts_until_it_leaves_or_its_time_is_over(tmp_path, database_url):
    with open_database(database_url, tmp_path / "regrade.sqlite3") as database:
        ledger, heard = SqlLimitLedger(database), []

        def say(process, document, *, lasts_s=60.0):
            def tell(others, now):
                heard.append(others)
                return document

            ledger.exchange(process, tell, lasts_s=lasts_s)

        say("one", {"n": 1})
        say("two", {"n": 2})
        say("one", {"n": 3})
        say("gone", {"n": 4}, lasts_s=0.0)
        say("two", {"n": 5})
        ledger.leave("one")
        say("three", {"n": 6})
    assert heard == [
        {},
        {"one": {"n": 1}},
        {"two": {"n": 2}},
        {"one": {"n": 3}, "two": {"n": 2}},
        {"one": {"n": 3}},
        {"two": {"n": 5}},
    ]


def test_exchanges_come_one_after_the_other(tmp_path, database_url):
    async def many(ledger):
        taken = []

        def take(others, now):
            free = 30 - sum(other["n"] for other in others.values())
            taken.append(min(free, 7))
            return {"n": taken[-1]}

        names = [f"{n}" for n in range(12)]
        await asyncio.gather(*(asyncio.to_thread(ledger.exchange, name, take, lasts_s=60.0) for name in names))
        return taken

    with open_database(database_url, tmp_path / "regrade.sqlite3") as database:
        assert sum(asyncio.run(many(SqlLimitLedger(database)))) == 30


def test_calls_go_on_where_the_database_is_away_and_the_log_says_so_once(tmp_path, world, own, caplog):
    world.write({"base_url": own.url, "max_concurrency": 40})
    caplog.set_level(logging.INFO, "regrade.inference.shares")

    async def lived_through(database):
        async with world.models(ledger=SqlLimitLedger(database), process="one") as models:
            limit_claims.drop(database.engine)
            answer = await models.ask(chat("echo"))  # after some seconds it asks without a word to the others
            await asyncio.gather(*(models.ask(chat("echo@slow=0.05", f"{n}")) for n in range(40)))
            at_once = own.state()["most_in_flight"]
            limit_claims.create(database.engine)
            while len(caplog.records) < 2:
                await asyncio.sleep(0.05)
            return answer, at_once

    with open_database("sqlite", tmp_path / "regrade.sqlite3") as database:
        answer, at_once = asyncio.run(lived_through(database))
    assert said(answer) == "hello there"
    assert at_once == 4
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "limit_claims" in caplog.records[0].message


def test_a_process_says_nothing_before_its_first_call_and_leaves_when_it_ends(tmp_path, world, own):
    world.write(own.url)

    async def asked(database, told):
        ledger = SqlLimitLedger(database)
        async with world.models(ledger=ledger, process=f"{random.random()}") as models:
            told.append(count(database))
            await models.ask(chat("echo"))
            told.append(count(database))
        told.append(count(database))
        return told

    def count(database):
        with database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(limit_claims)).scalar_one()

    with open_database("sqlite", tmp_path / "regrade.sqlite3") as database:
        assert asyncio.run(asked(database, [])) == [0, 1, 0]
