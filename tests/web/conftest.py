"""Sites to look at."""

import pytest

from web.sites import serving_site


@pytest.fixture(scope="package")
def site(tmp_path_factory):
    """One site without keys for all tests that only read what they wrote themselves."""
    with serving_site(tmp_path_factory.mktemp("site") / "data") as site:
        yield site


@pytest.fixture
def own_site(tmp_path):
    """A site that only this test writes to."""
    with serving_site(tmp_path / "data") as site:
        yield site


@pytest.fixture
def secret(own_site) -> str:
    """The secret of a key of the project `default`: from here on this test's site asks for one."""
    return own_site.services.keys.create("default", "test", admin=False)[1]
