"""A create that is repeated after a lost answer makes one object."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.errors import NotFoundError
from regrade.services.creations import WINDOW_SECONDS, Attempt, Creations
from regrade.store.creations import SqlCreations
from regrade.store.database import Database, sqlite_engine
from regrade.store.tables import metadata
from worlds import HandClock

RETRY = {"x-stainless-retry-count": "1"}


def _id(answer):
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_repeat_gets_the_eval_that_is_already_there(http, new_eval):
    body = {**new_eval, "name": "lost answer"}
    first = http.post("/v1/evals", json=body, headers={"x-stainless-retry-count": "0"})
    repeat = http.post("/openai/evals", json=body, headers=RETRY)
    assert first.json() == repeat.json()
    assert repeat.status_code == 201


def test_equal_creates_that_are_no_repeats_are_two_evals(http, new_eval):
    assert _id(http.post("/v1/evals", json=new_eval)) != _id(http.post("/v1/evals", json=new_eval))


def test_a_repeat_with_another_body_is_another_eval(http, new_eval):
    first = http.post("/v1/evals", json={**new_eval, "name": "one"})
    assert _id(first) != _id(http.post("/v1/evals", json={**new_eval, "name": "two"}, headers=RETRY))


def test_a_repeat_of_a_create_that_never_arrived_creates(http, new_eval):
    assert _id(http.post("/v1/evals", json={**new_eval, "name": "never arrived"}, headers=RETRY))


def test_a_repeat_after_the_eval_was_deleted_creates_it_anew(http, new_eval):
    body = {**new_eval, "name": "deleted"}
    first = _id(http.post("/v1/evals", json=body))
    http.delete(f"/v1/evals/{first}")
    assert _id(http.post("/v1/evals", json=body, headers=RETRY)) != first


def test_a_repeated_run_is_one_run(http, new_eval):
    path = f"/v1/evals/{_id(http.post('/v1/evals', json=new_eval))}/runs"
    source = {"type": "file_content", "content": [{"item": {"a": "1"}}]}
    body = {"data_source": {"type": "jsonl", "source": source}}
    first, repeat = http.post(path, json=body), http.post(path, json=body, headers=RETRY)
    assert _id(first) == _id(repeat)
    assert len(http.get(path).json()["data"]) == 1


def test_an_idempotency_key_makes_one_eval(http, new_eval):
    headers = {"idempotency-key": "k-1"}
    body = {**new_eval, "name": "keyed"}
    assert _id(http.post("/v1/evals", json=body, headers=headers)) == _id(
        http.post("/v1/evals", json=body, headers=headers)
    )
    other = http.post("/v1/evals", json=body, headers={"idempotency-key": "k-2"})
    assert _id(other) != _id(http.post("/v1/evals", json=body, headers=headers))


def test_an_idempotency_key_belongs_to_one_body(http, new_eval):
    headers = {"idempotency-key": "k-3"}
    http.post("/v1/evals", json={**new_eval, "name": "one"}, headers=headers)
    refused = http.post("/v1/evals", json={**new_eval, "name": "two"}, headers=headers)
    assert refused.status_code == 400
    assert "'k-3'" in refused.json()["error"]["message"]


def test_an_idempotency_key_of_a_refused_create_can_be_used_again(http, new_eval):
    headers = {"idempotency-key": "k-4"}
    assert http.post("/v1/evals", json={}, headers=headers).status_code == 400
    assert _id(http.post("/v1/evals", json=new_eval, headers=headers))


@pytest.fixture
def creations(tmp_path):
    engine = sqlite_engine(tmp_path / "db")
    metadata.create_all(engine)
    database = Database(engine)
    clock = HandClock()
    yield Creations(SqlCreations(database), clock), clock
    database.close()


def _attempt(**changes):
    return Attempt(**{"project": "p", "path": "/evals", "body_hash": "h", "repeat": True, **changes})


def _make(creations, store, made):
    def make(creation):
        made.append(f"object_{len(made)}")
        store.add(creation.fingerprint, made[-1], now=creation.created_at)
        return made[-1]

    return make


def test_a_repeat_waits_for_the_first_attempt_that_is_still_at_work(creations, tmp_path):
    service, _ = creations
    made, at_work, go_on = [], threading.Event(), threading.Event()
    make = _make(service, service._store, made)

    def slowly(creation):
        at_work.set()
        assert go_on.wait(10)
        return make(creation)

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(service.once, _attempt(repeat=False), slowly, lambda found: found)
        assert at_work.wait(10)
        repeats = [threads.submit(service.once, _attempt(), make, lambda found: found) for _ in range(5)]
        go_on.set()
        assert {future.result() for future in [first, *repeats]} == {"object_0"}
    assert made == ["object_0"]


def test_a_repeat_of_an_attempt_that_failed_makes_the_object(creations):
    service, _ = creations

    def fail(_creation):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        service.once(_attempt(repeat=False), fail, lambda found: found)
    assert service.once(_attempt(), lambda creation: "new", lambda found: found) == "new"


@pytest.mark.parametrize(("later", "same"), [(WINDOW_SECONDS, True), (WINDOW_SECONDS + 1, False)])
def test_a_repeat_counts_for_ten_minutes(creations, later, same):
    service, clock = creations
    made = []
    make = _make(service, service._store, made)
    service.once(_attempt(repeat=False), make, lambda found: found)
    clock.time += later
    service.once(_attempt(), make, lambda found: found)
    assert (len(made) == 1) is same


def test_an_object_that_is_gone_is_made_anew(creations):
    service, _ = creations
    made = []
    make = _make(service, service._store, made)

    def find(object_id):
        raise NotFoundError(f"No object '{object_id}'.")

    service.once(_attempt(), make, find)
    service.once(_attempt(), make, find)
    assert made == ["object_0", "object_1"]


texts = st.text(max_size=5)


@given(st.tuples(texts, texts, texts, st.none() | texts), st.tuples(texts, texts, texts, st.none() | texts))
def test_only_equal_attempts_have_equal_fingerprints(one, other):
    def fingerprint(project, path, body_hash, key):
        return _attempt(project=project, path=path, body_hash=body_hash, idempotency_key=key or None).fingerprint

    same = [*one[:3], one[3] or None] == [*other[:3], other[3] or None]
    assert (fingerprint(*one) == fingerprint(*other)) is same
