"""Keys: who may come in, and for how long after that changed."""

import pytest

from regrade.core.errors import InvalidError, NotFoundError
from regrade.services.keys import Keys
from regrade.store.keys import SqlKeys
from regrade.store.tables import metadata
from worlds import open_world

MONTH = 30 * 86_400


@pytest.fixture
def world(tmp_path, new_database_url):
    world = open_world(tmp_path, new_database_url())
    yield world
    world.database.close()


@pytest.fixture
def keys(world):
    return world.keys


@pytest.fixture
def elsewhere(world):
    """The same keys as another process sees them."""
    return Keys(SqlKeys(world.database), world.clock, world.ids)


def test_a_key_opens_its_project(keys):
    key, secret = keys.create("team", "laptop", admin=True)
    assert secret.startswith("sk-regrade-")
    found = keys.authenticate(["nonsense", secret])
    assert (found, found.project, found.admin, found.hint) == (key, "team", True, secret[-4:])


@pytest.mark.parametrize(
    "change", [str.upper, lambda secret: secret[:-1], lambda secret: secret + " ", lambda _: ""]
)
def test_anything_else_does_not(keys, change):
    _, secret = keys.create("team", "", admin=False)
    assert keys.authenticate([change(secret)]) is None
    assert keys.authenticate([]) is None


def test_strange_characters_are_just_a_wrong_key(keys):
    keys.create("team", "", admin=False)
    assert keys.authenticate(["ключ", "\ud800", "\0"]) is None


def test_a_server_is_open_until_the_first_key_and_never_again(keys):
    assert keys.open()
    key, secret = keys.create("team", "", admin=False)
    assert not keys.open()
    keys.revoke(key.id)
    assert not keys.open()
    assert keys.authenticate([secret]) is None


def test_a_key_made_elsewhere_counts_within_two_seconds(keys, elsewhere, world):
    assert keys.open()
    _, secret = elsewhere.create("team", "", admin=False)
    world.clock.time += 2
    assert not keys.open()
    assert keys.authenticate([secret])


def test_a_key_revoked_elsewhere_is_worth_nothing_after_two_seconds(keys, elsewhere, world):
    key, secret = keys.create("team", "", admin=False)
    assert keys.authenticate([secret])
    elsewhere.revoke(key.id)
    world.clock.time += 2
    assert keys.authenticate([secret]) is None


def test_within_two_seconds_no_request_asks_the_store(keys, world):
    _, secret = keys.create("team", "", admin=False)
    keys.authenticate([secret])
    asked = []
    world.database.read = lambda: asked.append(1)
    world.clock.time += 1
    assert keys.authenticate([secret])
    assert not keys.open()
    assert asked == []


def test_a_session_stands_for_its_key_for_thirty_days(keys, world):
    key, secret = keys.create("team", "", admin=False)
    token = keys.login(secret)
    world.clock.time += MONTH - 1
    assert keys.session(token) == key
    world.clock.time += 1
    assert keys.session(token) is None


def test_nobody_logs_in_with_a_wrong_key(keys):
    keys.create("team", "", admin=False)
    assert keys.login("sk-regrade-wrong") is None
    assert keys.session("") is None


def test_a_session_ends_with_its_key(keys):
    key, secret = keys.create("team", "", admin=False)
    token = keys.login(secret)
    keys.revoke(key.id)
    assert keys.session(token) is None


def test_a_revoked_key_stays_in_the_list(keys, world):
    first, _ = keys.create("team", "one", admin=False)
    second, _ = keys.create("team", "two", admin=False)
    keys.revoke(first.id)
    assert [(key.id, key.revoked_at) for key in keys.list()] == [(first.id, world.clock.now()), (second.id, None)]
    for key_id in (first.id, "key_never"):
        with pytest.raises(NotFoundError):
            keys.revoke(key_id)


def test_no_secret_lies_in_the_database(keys, world):
    _, secret = keys.create("team", "", admin=False)
    token = keys.login(secret)
    with world.database.read() as connection:
        dump = "\n".join(f"{connection.execute(table.select()).all()}" for table in metadata.sorted_tables)
    assert "team" in dump
    assert secret not in dump
    assert token not in dump


@pytest.mark.parametrize("project", ["", " ", "a b", "../x", "x" * 65, "-x", "ü"])
def test_a_project_has_a_plain_name(keys, project):
    with pytest.raises(InvalidError) as refused:
        keys.create(project, "", admin=False)
    assert refused.value.param == "project"


def test_a_secret_from_outside_must_be_long(keys):
    with pytest.raises(InvalidError) as refused:
        keys.adopt("hunter2", project="team", name="", admin=True)
    assert refused.value.param == "secret"
    keys.adopt("0123456789abcdef-0123456789abcdef", project="team", name="", admin=True)
    assert keys.authenticate(["0123456789abcdef-0123456789abcdef"]).admin
