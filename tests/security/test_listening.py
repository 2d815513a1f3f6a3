"""Where a server without keys may listen."""

from dataclasses import replace

import pytest

from regrade import main, settings
from regrade.core.errors import ConfigurationError
from worlds import open_world

NAMED = settings.Settings(data_dir="unused", host="127.0.0.1.example.com")


@pytest.fixture
def keys(tmp_path):
    world = open_world(tmp_path)
    yield world.keys
    world.database.close()


def test_a_name_that_looks_like_loopback_does_not_make_an_address_one(keys):
    with pytest.raises(ConfigurationError, match=r"example\.com"):
        main.require_loopback_where_needed(NAMED, keys, "0.0.0.0")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_addresses_need_no_key(keys, address):
    main.require_loopback_where_needed(replace(NAMED, host=address), keys, address)


def test_with_a_key_any_address_will_do(keys):
    keys.create("default", "", admin=True)
    main.require_loopback_where_needed(NAMED, keys, "0.0.0.0")


def test_even_with_a_key_unconfined_graders_stay_on_loopback(keys):
    keys.create("default", "", admin=True)
    unsafe = replace(NAMED, unsafe_python_graders=True)
    main.require_loopback_where_needed(unsafe, keys, "127.0.0.1")
    with pytest.raises(ConfigurationError, match="--unsafe-python-graders"):
        main.require_loopback_where_needed(unsafe, keys, "0.0.0.0")
