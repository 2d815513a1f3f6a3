"""The schema: migrations make exactly the tables that the code uses, once, and a newer store is left alone."""

import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from databases import engine_of
from regrade import engine
from regrade.core.errors import ConfigurationError
from regrade.store.database import Database, postgres_engine
from regrade.store.schema import VERSIONS, upgrade
from regrade.store.tables import metadata, sessions


@pytest.fixture
def url(new_database_url):
    return new_database_url()


@pytest.fixture
def database(url, tmp_path):
    database = Database(engine_of(url, tmp_path / "store.sqlite3"))
    yield database
    database.close()


DEFINITIONS = {
    "sqlite": "SELECT name, replace(replace(sql, char(10), ''), char(9), '') FROM sqlite_master WHERE name = '{}'",
    "postgresql": "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_name = '{}' ORDER BY ordinal_position",
}


def names(connection):
    inspector = sa.inspect(connection)
    return {
        table: {index["name"] for index in inspector.get_indexes(table)} for table in inspector.get_table_names()
    }


def test_migrations_make_the_tables_that_the_code_uses(database, new_database_url, tmp_path):
    upgrade(database)
    direct = engine_of(new_database_url(), tmp_path / "direct.sqlite3")
    metadata.create_all(direct)
    with database.read() as migrated, direct.connect() as created:
        assert compare_metadata(MigrationContext.configure(migrated), metadata) == []
        assert names(migrated) == names(created) | {"alembic_version": set()}
        for table in metadata.tables:
            same = [
                each.exec_driver_sql(DEFINITIONS[each.dialect.name].format(table)).all()
                for each in (migrated, created)
            ]
            assert same[0] == same[1] != []
    direct.dispose()


def test_an_upgraded_store_is_left_as_it_is(database):
    upgrade(database)
    upgrade(database)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 1


@pytest.mark.parametrize("older", VERSIONS[:-1])
def test_a_store_of_an_older_program_is_upgraded_and_keeps_what_it_has(database, older):
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", "regrade.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, older)
        connection.execute(sessions.insert().values(hash=b"0", key_id="key_1", expires_at=5))
    upgrade(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("SELECT key_id FROM sessions")).scalar() == "key_1"


@pytest.mark.parametrize("what", ["store", "engine"])
def test_processes_may_start_at_once(url, tmp_path, what):
    failures = []

    def start():
        own = url == "sqlite" and what == "engine"
        file = tmp_path / f"{what}.sqlite3"
        database = Database(engine.sqlite_engine(file) if own else engine_of(url, file))
        try:
            upgrade(database) if what == "store" else engine.migrate(database.engine)
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


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://somebody:hunter2@127.0.0.1:1/regrade", "127.0.0.1"),
        ("postgresql://somebody:hunter2@127.0.0.1/regrade?sslmoed=hunter2", "sslmoed"),
        ("postgresql://somebody:hunter2@no.such.host.invalid/regrade", "no.such.host.invalid"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url, reason):
    database = Database(postgres_engine(url))
    with pytest.raises(ConfigurationError, match="cannot be used") as refusal:
        upgrade(database)
    assert reason in refusal.value.message
    assert "hunter2" not in refusal.value.message


def test_a_role_that_may_not_make_tables_is_told_so(postgres):
    url = postgres.new()
    postgres.do("CREATE ROLE guest LOGIN")
    database = Database(postgres_engine(url.replace("postgres:@", "guest:@")))
    with pytest.raises(ConfigurationError, match="permission denied"):
        upgrade(database)
    database.close()


def test_a_database_of_another_encoding_is_refused(postgres):
    url = postgres.new(options="ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    database = Database(postgres_engine(url))
    with pytest.raises(ConfigurationError, match="LATIN1"):
        upgrade(database)
    database.close()
