"""Stored chat completions and responses on a real store: pages, filters, and what is forgotten."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databases import open_database
from regrade.core.entities import PageRequest, StoredObject
from regrade.core.errors import InvalidError
from regrade.core.stored_objects import StoredFilter, filter_of
from regrade.store.stored_objects import SqlStoredObjects
from regrade.store.tables import metadata

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def database(new_database_url, tmp_path_factory):
    with open_database(new_database_url(), tmp_path_factory.mktemp("store") / "store.sqlite3") as database:
        yield database


@pytest.fixture
def store(database):
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return SqlStoredObjects(database)


def stored(object_id, *, at=NOW, kind="response", request=None, answer=None, **facts):
    return StoredObject(
        **{
            "id": object_id,
            "project": "default",
            "kind": kind,
            "model_asked": "alias",
            "model_answered": "model-1",
            "created_at": at,
            "metadata": {},
            "request": json.dumps({"input": "hi", **(request or {})}).encode(),
            "answer": json.dumps({"output": [], **(answer or {})}).encode(),
            **facts,
        }
    )


def chosen(store, kind="response", project="default", now=NOW, **source):
    return [each.id for each in store.select(project, kind, filter_of(source), now=now)]


def test_what_was_added_is_read_back_whole(store):
    one = stored("resp_1", metadata={"b": "2", "a": "1"}, expires_at=NOW + 5, upstream_id="up", status="queued")
    store.add(one, None)
    assert store.get("default", "response", "resp_1", now=NOW) == one


def test_another_project_and_another_kind_see_nothing(store):
    store.add(stored("resp_1"), None)
    assert store.get("other", "response", "resp_1", now=NOW) is None
    assert store.get("default", "chat", "resp_1", now=NOW) is None
    assert chosen(store, project="other") == []
    assert not store.delete("other", "response", "resp_1", now=NOW)


def test_two_projects_may_import_the_same_id_and_one_project_only_once(store):
    first, second = stored("resp_1"), stored("resp_1", project="other")
    assert store.add_new([first, second]) == 2
    assert store.add_new([stored("resp_1", answer={"new": True}), stored("resp_2")]) == 1
    assert store.get("default", "response", "resp_1", now=NOW) == first


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_each_other_in_the_order_of_creation_and_past_deleted_ones(store, order):
    ids = [f"resp_{n}" for n in (5, 3, 4, 1, 2)]
    for at, object_id in enumerate(ids):
        store.add(stored(object_id, at=NOW + at // 2), None)  # two a second: the id decides
    expected = ["resp_3", "resp_5", "resp_1", "resp_4", "resp_2"]
    expected = expected if order == "asc" else expected[::-1]
    seen, after = [], None
    while True:
        page = store.page(
            "default", "response", PageRequest(limit=2, after=after, order=order), StoredFilter(), now=NOW
        )
        seen += [each.id for each in page.data]
        if not page.has_more:
            break
        after = seen[-1]
        store.delete("default", "response", after, now=NOW)
    assert seen == expected


def test_a_cursor_of_another_project_is_refused(store):
    store.add(stored("resp_1", project="other"), None)
    with pytest.raises(InvalidError) as refused:
        store.page("default", "response", PageRequest(after="resp_1"), StoredFilter(), now=NOW)
    assert refused.value.param == "after"


def test_every_filter_must_hold(store):
    store.add(stored("resp_1", metadata={"usecase": "chat", "version": "1"}), None)
    store.add(stored("resp_2", metadata={"usecase": "chat", "version": "2"}, at=NOW + 1), None)
    store.add(stored("resp_3", metadata={"usecase": "chat"}, at=NOW + 2, model_answered="model-2"), None)
    assert chosen(store, metadata={"usecase": "chat"}) == ["resp_3", "resp_2", "resp_1"]
    assert chosen(store, metadata={"usecase": "chat", "version": 2}) == ["resp_2"]
    assert chosen(store, model="alias") == ["resp_3", "resp_2", "resp_1"]
    assert chosen(store, model="model-2") == ["resp_3"]
    assert chosen(store, created_after=NOW + 1, created_before=NOW + 1) == ["resp_2"]
    assert chosen(store, metadata={"usecase": "chat"}, limit=2) == ["resp_3", "resp_2"]


def test_a_run_cannot_widen_what_its_eval_selects(store):
    store.add(stored("resp_1", metadata={"usecase": "a"}), None)
    wanted = filter_of({"metadata": {"usecase": "a"}}, {"usecase": "b"})
    assert list(store.select("default", "response", wanted, now=NOW)) == []


@pytest.mark.parametrize(
    ("request_", "answer", "source"),
    [
        ({"instructions": "Be brief."}, {}, {"instructions_search": "brief"}),
        ({"reasoning": {"effort": "low"}}, {}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "low"}, {}, {"reasoning_effort": "low"}),
        ({}, {"temperature": 1.0}, {"temperature": 1}),
        ({"top_p": 0.5}, {}, {"top_p": 0.5}),
        ({"user": "ann"}, {}, {"users": ["bob", "ann"]}),
        ({"safety_identifier": "ann"}, {}, {"users": ["ann"]}),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]}, {}, {"tools": ["f", "mcp"]}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools": []}, {"tools": ["f"]}),
        ({"tools": [{"type": "custom", "name": "c"}]}, {}, {"tools": ["c"]}),
    ],
)
def test_filters_of_what_was_asked_take_what_fits_and_nothing_else(store, request_, answer, source):
    store.add(stored("resp_fits", request=request_, answer=answer), None)
    store.add(stored("resp_other", request={"tools": [{"type": "function", "name": "mcp"}]}, at=NOW + 1), None)
    assert chosen(store, **source, limit=1) == ["resp_fits"]


def test_a_response_without_an_answer_is_no_row(store):
    for status in ("completed", "incomplete", "failed", "queued", "in_progress", "cancelled"):
        store.add(stored(f"resp_{status}", status=status), None)
    assert sorted(chosen(store)) == ["resp_completed", "resp_incomplete"]


def test_a_selection_is_of_the_moment_at_which_it_began(store):
    store.add(stored("resp_1"), None)
    store.add(stored("resp_2", at=NOW + 1), None)
    selection = store.select("default", "response", StoredFilter(), now=NOW)
    first = next(selection)
    store.delete("default", "response", "resp_1", now=NOW)
    store.add(stored("resp_0", at=NOW - 1), None)
    assert [first.id, *(each.id for each in selection)] == ["resp_2", "resp_1"]


def test_new_metadata_is_what_filters_find(store):
    store.add(stored("resp_1", metadata={"a": "1"}), None)
    assert store.update_metadata("default", "response", "resp_1", {"b": "2"}, now=NOW)
    assert chosen(store, metadata={"a": "1"}) == []
    assert chosen(store, metadata={"b": "2"}) == ["resp_1"]
    assert not store.update_metadata("default", "response", "resp_2", {}, now=NOW)


def test_what_is_deleted_or_expired_leaves_nothing_that_was_said(store, database):
    store.add(stored("resp_1", metadata={"a": "1"}), None)
    store.add(stored("resp_2", metadata={"a": "1"}, expires_at=NOW + 10), None)
    assert store.delete("default", "response", "resp_1", now=NOW)
    assert not store.delete("default", "response", "resp_1", now=NOW)
    assert chosen(store, now=NOW + 10) == []
    assert store.sweep(now=NOW + 9, limit=10) == 0
    assert store.sweep(now=NOW + 10, limit=10) == 1
    assert store.sweep(now=NOW + 10, limit=10) == 0
    with database.read() as connection:
        for table in ("stored_object_bodies", "stored_object_metadata"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_an_answer_that_comes_later_replaces_the_one_before_unless_the_object_is_gone(store):
    store.add(stored("resp_1", status="queued"), None)
    done = stored("resp_1", status="completed", answer={"output": [1]})
    assert store.update_answer(done)
    assert store.get("default", "response", "resp_1", now=NOW) == done
    store.delete("default", "response", "resp_1", now=NOW)
    assert not store.update_answer(done)


@given(
    times=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 4), order=st.sampled_from(["asc", "desc"])
)
def test_paging_gives_each_object_once(database, times, limit, order):
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    store = SqlStoredObjects(database)
    store.add_new([stored(f"resp_{number:02}", at=NOW + at) for number, at in enumerate(times)])
    seen, more = [], True
    while more:
        request = PageRequest(limit=limit, after=seen[-1].id if seen else None, order=order)
        page = store.page("default", "response", request, StoredFilter(), now=NOW)
        seen += page.data
        more = page.has_more
    keys = [(each.created_at, each.id) for each in seen]
    assert len(keys) == len(times)
    assert keys == sorted(keys, reverse=order == "desc")
