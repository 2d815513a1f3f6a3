"""Tuned models in SQL: which folders may go."""

from contextlib import closing
from dataclasses import replace

import pytest

from databases import engine_of
from regrade.core.entities import FineTunedModel
from regrade.store.database import Database
from regrade.store.fine_tuned_models import SqlFineTunedModels, add_models
from regrade.store.tables import metadata

WHOLE = FineTunedModel(
    name="ft:b:p::1", project="p", job_id="ftjob-1", step=None, base="b", folder="ftjob-1/model", created_at=1
)
ADAPTER = replace(
    WHOLE, name="ft:b:p::2", job_id="ftjob-2", folder="ftjob-2/model", adapter_of="/data/fine_tuning/ftjob-1/model"
)


@pytest.fixture
def store(new_database_url, tmp_path):
    with closing(Database(engine_of(new_database_url(), tmp_path / "regrade.sqlite3"))) as database:
        metadata.create_all(database.engine)
        with database.write() as connection:
            add_models(connection, [WHOLE, ADAPTER])
        yield SqlFineTunedModels(database)


def test_the_folder_of_a_deleted_model_stays_while_an_adapter_needs_it(store):
    store.delete(WHOLE.name, now=2)
    assert store.unswept(limit=9) == []
    store.delete(ADAPTER.name, now=3)
    assert {model.name for model in store.unswept(limit=9)} == {WHOLE.name, ADAPTER.name}
