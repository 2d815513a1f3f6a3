"""The schema: migrations make exactly the tables that the code uses, once, and a newer store is left alone."""

import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from regrade.core.errors import ConfigurationError
from regrade.store.database import Database, sqlite_engine
from regrade.store.schema import VERSIONS, upgrade
from regrade.store.tables import metadata


@pytest.fixture
def database(tmp_path):
    database = Database(sqlite_engine(tmp_path / "store.sqlite3"))
    yield database
    database.close()


def names(connection):
    inspector = sa.inspect(connection)
    return {
        table: {index["name"] for index in inspector.get_indexes(table)} for table in inspector.get_table_names()
    }


def test_migrations_make_the_tables_that_the_code_uses(database, tmp_path):
    upgrade(database)
    direct = sqlite_engine(tmp_path / "direct.sqlite3")
    metadata.create_all(direct)
    with database.read() as migrated, direct.connect() as created:
        assert compare_metadata(MigrationContext.configure(migrated), metadata) == []
        assert names(migrated) == names(created) | {"alembic_version": set()}
        statement = (
            "SELECT name, replace(replace(sql, char(10), ''), char(9), '') FROM sqlite_master WHERE name = '{}'"
        )
        for table in metadata.tables:
            same = [each.exec_driver_sql(statement.format(table)).all() for each in (migrated, created)]
            assert same[0] == same[1]
    direct.dispose()


def test_an_upgraded_store_is_left_as_it_is(database):
    upgrade(database)
    upgrade(database)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_a_store_of_an_older_program_is_upgraded_and_keeps_what_it_has(database):
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", "regrade.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, VERSIONS[0])
        connection.execute(sa.text("INSERT INTO sessions VALUES (x'00', 'key_1', 5)"))
    upgrade(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("SELECT key_id FROM sessions")).scalar() == "key_1"


def test_two_processes_may_upgrade_at_once(tmp_path):
    failures = []

    def start():
        database = Database(sqlite_engine(tmp_path / "store.sqlite3"))
        try:
            upgrade(database)
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_store_of_a_newer_program_is_refused(database):
    upgrade(database)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="9999"):
        upgrade(database)
