"""Texts come back as they went in, whatever is in them, and are found by what they are; on both databases."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import open_database
from regrade.core.entities import PageRequest
from regrade.core.stored_objects import StoredFilter
from regrade.store.stored_objects import SqlStoredObjects
from store.test_stored_objects import NOW, stored

numbers = itertools.count()
awkward = st.text(st.sampled_from("\0\uffff01aä😀") | st.characters(codec="utf-8"), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def store(new_database_url, tmp_path_factory):
    with open_database(new_database_url(), tmp_path_factory.mktemp("store") / "store.sqlite3") as database:
        yield SqlStoredObjects(database)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(ids=st.lists(awkward, min_size=2, max_size=2, unique=True), value=awkward, model=awkward)
def test_any_text_is_kept_filtered_and_paged_by(store, ids, value, model):
    project = f"{model}{next(numbers)}"
    one, other = (
        stored(object_id, project=project, model_asked=model, metadata={"k": value + object_id})
        for object_id in ids
    )
    store.add_new([one, other])
    assert store.get(project, "response", one.id, now=NOW) == one

    def page(after=None, **wanted):
        found = store.page(
            project, "response", PageRequest(after=after, limit=100), StoredFilter(**wanted), now=NOW
        )
        return [each.id for each in found.data]

    assert page(metadata=(("k", value + one.id),)) == [one.id]
    assert {one.id, other.id} <= set(page(model=model))
    first, *rest = page()
    assert page(after=first) == rest
    store.update_metadata(project, "response", one.id, {"k": value + other.id}, now=NOW)
    assert set(page(metadata=(("k", value + other.id),))) == {one.id, other.id}
