"""Counters of many processes, added up: in Prometheus' own words, and never smaller than before."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from databases import open_database
from operations.exposition import samples
from regrade.core.metrics import (
    CATALOGUE,
    HTTP,
    ITEMS,
    MODEL_IN_FLIGHT,
    MODEL_REQUESTS,
    MODEL_RETRIES,
    Figures,
    Metrics,
)
from regrade.services.monitoring import Monitoring
from regrade.store.figures import SqlFigures
from regrade.store.tables import process_figures


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_any_words_of_clients_are_labels_that_prometheus_reads_back(pairs):
    metrics = Metrics()
    for endpoint, model in pairs:
        metrics.of(MODEL_RETRIES, endpoint, model).add()
    found = samples(metrics.figures().text())
    for endpoint, model in pairs:
        assert found["regrade_model_retries_total", ("endpoint", endpoint), ("model", model)] == pairs.count(
            (endpoint, model)
        )


@given(st.lists(st.floats(0, 2000), max_size=30))
def test_a_histogram_says_how_many_were_at_most_each_bound(seconds):
    metrics = Metrics()
    series = metrics.of(MODEL_REQUESTS, "e", "m", "answered")
    for each in seconds:
        series.observe(each)
    labels = (("endpoint", "e"), ("model", "m"), ("outcome", "answered"))
    found = samples(metrics.figures().text())
    for bound in MODEL_REQUESTS.buckets:
        key = ("regrade_model_request_seconds_bucket", *sorted((*labels, ("le", str(bound)))))
        assert found[key] == sum(each <= bound for each in seconds)
    assert found["regrade_model_request_seconds_count", *labels] == len(seconds)


def test_names_that_clients_make_up_do_not_fill_the_memory():
    metrics = Metrics()
    for number in range(5_000):
        metrics.of(MODEL_RETRIES, "e", f"model {number}").add()
    found = samples(metrics.figures().text())
    retries = {key: value for key, value in found.items() if key[0] == "regrade_model_retries_total"}
    assert len(retries) < 1_000
    assert sum(retries.values()) == 5_000


def test_every_name_begins_as_prometheus_asks():
    assert all(metric.name.startswith("regrade_") for metric in CATALOGUE)
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in CATALOGUE)


def test_figures_of_another_version_are_left_out():
    strange = [
        ["regrade_items_total", ["pass", "more"], [1.0]],
        ["no_such", [], [1.0]],
        [HTTP.name, ["a", "b", "c"], [1]],
    ]
    assert Figures.from_json(strange) == Figures()


@pytest.fixture
def database(new_database_url, tmp_path):
    with open_database(new_database_url(), tmp_path / "store.sqlite3") as database:
        yield database


def silence(database):
    """All processes were last heard of two minutes ago."""
    with database.write() as connection:
        connection.execute(process_figures.update().values(written_at=process_figures.c.written_at - 120_000))


def test_what_processes_counted_stays_when_they_are_gone_and_counts_once_when_they_come_back(database):
    store = SqlFigures(database)
    metrics = [Metrics() for _ in range(3)]
    processes = [Monitoring(each, store, f"process {number}", "1") for number, each in enumerate(metrics)]
    counted = 0
    for round_ in range(12):
        for number, process in enumerate(processes):
            if (round_ + number) % 3:  # the others are frozen
                metrics[number].of(ITEMS, "pass").add(round_ + number)
                counted += round_ + number
                process.report()
        if round_ % 2:
            silence(database)
            store.retire()
        assert samples(processes[0].text())["regrade_items_total", ("status", "pass")] == counted
    with database.read() as connection:
        rows = connection.execute(sa.select(process_figures.c.process)).scalars().all()
    assert "" in rows
    assert "process 1" not in rows


def test_gauges_are_those_of_processes_that_live(database):
    store = SqlFigures(database)
    metrics = Metrics()
    metrics.ask(lambda: [(MODEL_IN_FLIGHT, ("e", "m"), 7.0)])
    metrics.of(ITEMS, "fail").add(3)
    Monitoring(metrics, store, "gone", "1").report()
    silence(database)
    found = samples(Monitoring(Metrics(), store, "here", "1").text())
    assert ("regrade_model_in_flight", ("endpoint", "e"), ("model", "m")) not in found
    assert found["regrade_items_total", ("status", "fail")] == 3
    assert found["regrade_processes",] == 1
