"""Tuned models in SQL: which folders may go."""

from contextlib import closing
from dataclasses import replace

import pytest

from databases import engine_of
from regrade.core.entities import FineTunedModel, FineTuningJob, JobEvent
from regrade.store.database import Database
from regrade.store.fine_tuned_models import SqlFineTunedModels, add_models
from regrade.store.fine_tuning import SqlFineTuning
from regrade.store.tables import metadata

WHOLE = FineTunedModel(
    name="ft:b:p::1", project="p", job_id="ftjob-1", step=None, base="b", folder="ftjob-1/model", created_at=1
)
ADAPTER = replace(
    WHOLE, name="ft:b:p::2", job_id="ftjob-2", folder="ftjob-2/model", adapter_of="/data/fine_tuning/ftjob-1/model"
)


PAUSED = FineTuningJob(
    id="ftjob-3",
    project="p",
    status="paused",
    model="b",
    base="b",
    created_at=1,
    training_file="file-1",
    validation_file=None,
    training_blob="files/1",
    validation_blob=None,
    suffix=None,
    seed=1,
    azure=False,
    method={"type": "supervised"},
    integrations=[],
    metadata=None,
)
SNAPSHOT = replace(
    WHOLE, name="ft:b:p::3:ckpt-step-4", job_id="ftjob-3", folder="ftjob-3/checkpoints/step-4", step=4
)


@pytest.fixture
def database(new_database_url, tmp_path):
    with closing(Database(engine_of(new_database_url(), tmp_path / "regrade.sqlite3"))) as database:
        metadata.create_all(database.engine)
        with database.write() as connection:
            add_models(connection, [WHOLE, ADAPTER, SNAPSHOT])
        yield database


@pytest.fixture
def store(database):
    return SqlFineTunedModels(database)


def test_the_folder_of_a_deleted_model_stays_while_an_adapter_needs_it(store):
    store.delete(WHOLE.name, now=2)
    assert store.unswept(limit=9) == []
    store.delete(ADAPTER.name, now=3)
    assert {model.name for model in store.unswept(limit=9)} == {WHOLE.name, ADAPTER.name}


def test_the_files_of_a_deleted_checkpoint_stay_while_its_job_can_go_on(database, store):
    jobs = SqlFineTuning(database)
    jobs.add(PAUSED, [], None)
    store.delete(SNAPSHOT.name, now=2)
    assert store.get(SNAPSHOT.name) is None
    assert store.unswept(limit=9) == []
    jobs.cancel(
        jobs.find("ftjob-3"), JobEvent(id="ftevent-1", created_at=3, message="The job was cancelled"), now=3
    )
    assert [model.name for model in store.unswept(limit=9)] == [SNAPSHOT.name]
