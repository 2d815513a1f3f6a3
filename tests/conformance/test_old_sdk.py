"""Users of the SDK's second major version do the same job with it."""

import json
from pathlib import Path

import pytest

from conformance import environments, main_job


@pytest.mark.timeout(300)
def test_the_main_job_through_openai_2(server, pytestconfig):
    python = environments.python_with(pytestconfig.cache.mkdir("openai-2"), "openai>=2,<3")
    printed = json.loads(environments.run(python, Path(main_job.__file__), f"{server.url}/v1"))
    assert printed["version"].startswith("2.")
    assert printed["seen"] == main_job.EXPECTED


def test_the_main_job_through_the_current_openai(client):
    assert main_job.do(client) == main_job.EXPECTED
