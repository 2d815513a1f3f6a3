"""Answers about fine-tuning are what OpenAI's published OpenAPI document says."""

import os
from pathlib import Path

import httpx2
import pytest

from conformance import published
from tuning.bench import create, prompt_rows, reinforcement, supervised, upload, wait


@pytest.fixture(scope="module")
def document():
    path = os.environ.get("REGRADE_OPENAI_OPENAPI")
    if not path:
        pytest.skip("REGRADE_OPENAI_OPENAPI names no copy of OpenAI's OpenAPI document")
    return published.read(Path(path))


def faults(document, schema: str, body) -> list[str]:
    validator = published.validator(document, {"$ref": f"#/components/schemas/{schema}"})
    return [
        f"{'/'.join(map(str, fault.instance_path))}: {fault.message[:200]}" for fault in validator.iter_errors(body)
    ]


@pytest.fixture(scope="module")
def jobs(tuner):
    with tuner.client() as client:
        done = wait(client, create(client, method=supervised(), metadata={"k": "v"}))
        validation = upload(client, prompt_rows(4))
        rewarded = create(client, prompt_rows(20), validation_file=validation, method=reinforcement())
        failed = wait(client, create(client, model="greedy"), until=("failed",))
        yield done, wait(client, rewarded), failed, create(client)


def test_jobs_in_every_state(document, jobs, tuner):
    for job in jobs:
        body = httpx2.get(f"{tuner.url}/v1/fine_tuning/jobs/{job.id}").json()
        assert faults(document, "FineTuningJob", body) == []


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("jobs", "ListPaginatedFineTuningJobsResponse"),
        ("jobs/{id}/events", "ListFineTuningJobEventsResponse"),
        ("jobs/{id}/checkpoints", "ListFineTuningJobCheckpointsResponse"),
        ("checkpoints/{model}/permissions", "ListFineTuningCheckpointPermissionResponse"),
    ],
)
def test_lists(document, jobs, tuner, path, schema):
    where = path.format(id=jobs[1].id, model=jobs[1].fine_tuned_model)
    body = httpx2.get(f"{tuner.url}/v1/fine_tuning/{where}").json()
    assert faults(document, schema, body) == []


def test_permissions(document, jobs, tuner):
    where = f"{tuner.url}/v1/fine_tuning/checkpoints/{jobs[0].fine_tuned_model}/permissions"
    made = httpx2.post(where, json={"project_ids": ["other"]}).json()
    assert faults(document, "ListFineTuningCheckpointPermissionResponse", made) == []
    gone = httpx2.delete(f"{where}/{made['data'][0]['id']}").json()
    assert faults(document, "DeleteFineTuningCheckpointPermissionResponse", gone) == []
