"""A server whose endpoint is the stand-in upstream, for tests that look at it from outside."""

import pytest

from servers import serving
from upstream import upstream

CONFIG = """
[[endpoints]]
name = "office"
base_url = "{url}"
models = ["*"]
api = ["chat"]
"""


@pytest.fixture(scope="package")
def up():
    with upstream() as running:
        yield running


@pytest.fixture(scope="package")
def watched(tmp_path_factory, up):
    """A server of this folder's own: its log is JSON."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "regrade.toml").write_text(CONFIG.format(url=up.url))
    with serving(folder / "data", "--log-format", "json") as running:
        yield running
