"""One server with a trainer that learns nothing, for what does not need learning."""

import pytest

from tuning.bench import tuning_server


@pytest.fixture(scope="package")
def tuner(tmp_path_factory):
    with tuning_server(
        tmp_path_factory.mktemp("tuner"),
        {
            "base": {},
            "slow": {"step_s": 0.3},
            "greedy": {"fails": "The GPU has 1 GiB less than is needed. Make the batch smaller."},
            "mortal": {"dies_at": 7},
            "mute": {"silent": True},
        },
        training="slots = 3\ngrace_seconds = 1",
    ) as server:
        yield server


@pytest.fixture
def client(tuner):
    with tuner.client(max_retries=0) as client:
        yield client
