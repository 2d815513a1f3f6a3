"""A server whose endpoints are the stand-in upstream."""

import pytest

from servers import serving
from upstream import upstream

CONFIG = """
[[endpoints]]
name = "both"
base_url = "{url}"
api_key_env = "UPSTREAM_KEY"
models = ["both/*"]
api = ["chat", "responses", "embeddings"]
[[endpoints]]
name = "plain"
base_url = "{url}"
models = ["plain/*"]
api = ["chat"]
structured_outputs = false
[[endpoints]]
name = "office"
base_url = "{url}"
models = ["*"]
api = ["chat", "embeddings"]
[aliases]
"gpt-4o" = "upper"
"text-embedding-3-large" = "embedder"
"""


@pytest.fixture(scope="package")
def up():
    with upstream() as running:
        yield running


@pytest.fixture(scope="package")
def server(tmp_path_factory, up):
    folder = tmp_path_factory.mktemp("sampling")
    (folder / "regrade.toml").write_text(CONFIG.format(url=up.url))
    with serving(folder / "data", "--model-patience", "20", env={"UPSTREAM_KEY": "sk-upstream-secret"}) as running:
        yield running
