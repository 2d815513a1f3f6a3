"""One server with a trainer that learns nothing, for what does not need learning."""

import pytest

from tuning.bench import create, supervised, tuning_server, upload, wait
from tuning.real import real_server, rows


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


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A server that really trains, a client of it, and a job that has taught its base to answer in capitals."""
    pytest.importorskip("trl", reason="fine-tuning is not installed: pip install 'regrade[train]'")
    pytest.importorskip("llguidance", reason="local models are not installed: pip install 'regrade[local]'")
    with real_server(tmp_path_factory.mktemp("real")) as server, server.client(max_retries=0) as client:
        validation = upload(client, rows(8))
        method = supervised(n_epochs=6, batch_size=16)
        job = create(client, rows(128), validation_file=validation, method=method, seed=1)
        yield server, client, wait(client, job, seconds=180)
