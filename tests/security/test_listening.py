"""Where a server without keys may listen."""

import socket
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
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(ConfigurationError, match=r"example\.com"):
        main.require_keys_off_loopback(NAMED, keys, listener)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_addresses_need_no_key(keys, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        main.require_keys_off_loopback(replace(NAMED, host=address), keys, listener)


def test_with_a_key_any_address_will_do(keys):
    keys.create("default", "", admin=True)
    with socket.create_server(("0.0.0.0", 0)) as listener:
        main.require_keys_off_loopback(NAMED, keys, listener)
