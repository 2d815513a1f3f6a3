"""A server that may send webhooks to this machine, and shows what it wrote on standard error."""

import pytest

from servers import serving

FLAGS = ("--webhook-private-networks", "127.0.0.0/8", "--webhook-http")


@pytest.fixture(scope="package")
def told(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("told") / "data", *FLAGS) as running:
        yield running


@pytest.fixture
def client(told):
    """The real SDK against that server, with no endpoints left from other tests."""
    with told.client(max_retries=0) as client:
        for endpoint in client.webhooks.list():
            client.webhooks.delete(endpoint.id)
        yield client
