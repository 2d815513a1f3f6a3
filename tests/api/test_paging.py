"""Lists with cursors."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.both_databases

EMPTY = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_an_empty_page_says_so_with_nulls(http, new_eval):
    made = http.post("/v1/evals", json=new_eval).json()
    assert http.get(f"/v1/evals/{made['id']}/runs").json() == EMPTY


def test_a_page_names_its_first_and_last(http, new_eval):
    for _ in range(3):
        http.post("/v1/evals", json=new_eval)
    page = http.get("/v1/evals", params={"limit": 2}).json()
    assert [page["first_id"], page["last_id"]] == [eval_["id"] for eval_ in page["data"]]
    assert page["has_more"]


@given(
    limit=st.integers(1, 7), order=st.sampled_from(["asc", "desc"]), order_by=st.sampled_from([None, "updated_at"])
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_any_size_follow_one_another_without_gap_or_repeat(keyed, new_eval, limit, order, order_by):
    with keyed.server.client(keyed.blue) as client:
        while len(client.evals.list(limit=100).data) < 12:
            client.evals.create(**new_eval)
        query = {"order": order} | ({"order_by": order_by} if order_by else {})
        walked = [eval_.id for eval_ in client.evals.list(limit=limit, **query)]
        whole = [eval_.id for eval_ in client.evals.list(limit=100, **query).data]
        assert walked == whole
        assert len(set(walked)) == 12


def test_an_eval_made_while_walking_is_found_at_the_end(http, new_eval):
    for _ in range(2):
        http.post("/v1/evals", json=new_eval)
    page = http.get("/v1/evals", params={"limit": 1, "order": "desc"}).json()
    made = http.post("/v1/evals", json=new_eval).json()
    rest = http.get("/v1/evals", params={"after": page["last_id"], "order": "asc"}).json()
    assert [eval_["id"] for eval_ in rest["data"]] == [made["id"]]
