from pathlib import Path

import pytest

from regrade import settings
from regrade.core.errors import ConfigurationError


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write a regrade.toml into the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = tmp_path / "regrade.toml"
        path.write_text(text)
        return path

    return write


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(config):
    config("port = 1\nworkers = 1\nhost = '127.0.0.9'\n")
    found = settings.load({"port": 3}, environ={"REGRADE_PORT": "2", "REGRADE_WORKERS": "2"})
    assert (found.port, found.workers, found.host, found.log_level) == (3, 2, "127.0.0.9", "info")


def test_a_flag_that_was_not_given_and_an_empty_variable_count_for_nothing(config):
    config("port = 1\n")
    assert settings.load({"port": None}, environ={"REGRADE_PORT": ""}).port == 1


def test_every_option_can_be_given_in_the_environment(config):
    values = {
        "data_dir": "/d",
        "database_url": "postgres://regrade:secret@db:5433/evals?sslmode=require",
        "host": "::1",
        "port": "1",
        "workers": "0",
        "concurrency": "16",
        "train": "no",
        "worker_takeover_seconds": "17",
        "shutdown_seconds": "18",
        "public_url": "https://x.example/",
        "log_level": "DEBUG",
        "log_format": "JSON",
        "metrics": "open",
        "traces": "OTLP",
        "admin_key_file": "/k",
        "blobs": "s3://bucket/prefix/",
        "max_body_bytes": "1 KiB",
        "max_row_bytes": "2MB",
        "max_file_bytes": "3",
        "max_part_bytes": "4 gib",
        "max_upload_bytes": "5b",
        "model_attempts": "6",
        "model_timeout": "7",
        "model_patience": "0",
        "webhook_private_networks": "hooks.internal, 10.1.0.0/16",
        "webhook_http": "yes",
        "response_cache_bytes": "8 MiB",
        "local_models_memory": "13 MiB",
        "local_models_idle": "14",
        "local_models_threads": "15",
        "python_sandbox": "Strict",
        "unsafe_python_graders": "yes",
        "python_grader_isolation": "item",
        "python_grader_workers": "9",
        "python_grader_timeout": "10",
        "python_grader_memory": "11 MiB",
        "python_grader_scratch": "12 MiB",
    }
    assert list(values) == list(settings.options())
    found = settings.load(environ={f"REGRADE_{name.upper()}": value for name, value in values.items()})
    assert found == settings.Settings(
        data_dir=Path("/d"),
        database_url="postgresql://regrade:secret@db:5433/evals?sslmode=require",
        host="::1",
        port=1,
        workers=0,
        concurrency=16,
        train=False,
        worker_takeover_seconds=17,
        shutdown_seconds=18,
        public_url="https://x.example",
        log_level="debug",
        log_format="json",
        metrics="open",
        traces="otlp",
        admin_key_file=Path("/k"),
        blobs="s3://bucket/prefix",
        max_body_bytes=1024,
        max_row_bytes=2_000_000,
        max_file_bytes=3,
        max_part_bytes=4 << 30,
        max_upload_bytes=5,
        model_attempts=6,
        model_timeout=7,
        model_patience=0,
        webhook_private_networks="hooks.internal,10.1.0.0/16",
        webhook_http=True,
        response_cache_bytes=8 << 20,
        local_models_memory=13 << 20,
        local_models_idle=14,
        local_models_threads=15,
        python_sandbox="strict",
        unsafe_python_graders=True,
        python_grader_isolation="item",
        python_grader_workers=9,
        python_grader_timeout=10,
        python_grader_memory=11 << 20,
        python_grader_scratch=12 << 20,
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("port", "70000", "REGRADE_PORT is '70000', but it must be a whole number from 0 to 65535."),
        ("port", "http", "REGRADE_PORT is 'http', but it must be a whole number from 0 to 65535."),
        ("workers", "-1", "REGRADE_WORKERS is '-1', but it must be a whole number from 0 to 256."),
        ("host", " ", "REGRADE_HOST is ' ', but it must be a text that is not empty."),
        ("log_level", "loud", "must be one of debug, info, warning, error."),
        ("max_row_bytes", "16 potatoes", 'such as "64 MiB".'),
        ("max_row_bytes", "0", "REGRADE_MAX_ROW_BYTES is '0'"),
        ("public_url", "evals.example.com", "must be a URL that begins with http:// or https://"),
        ("blobs", "./here", 'it must be "file:///FOLDER", "s3://BUCKET/PREFIX"'),
        ("blobs", "file://relative/path", 'it must be "file:///FOLDER"'),
        ("blobs", "s3://key:secret@bucket", 'it must be "file:///FOLDER"'),
        ("blobs", "ftp://bucket", 'it must be "file:///FOLDER"'),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place_and_what_fits(config, key, value, expected):
    with pytest.raises(ConfigurationError) as refusal:
        settings.load(environ={f"REGRADE_{key.upper()}": value})
    assert expected in refusal.value.message


@pytest.mark.parametrize("url", ["mysql://u:hunter2@db/x", "postgresql://u:hunt/er2@db/x", "hunter2 is mine"])
def test_no_message_repeats_the_password_of_a_database(config, url):
    with pytest.raises(ConfigurationError, match="must be the URL of a PostgreSQL database") as refusal:
        settings.load(environ={"REGRADE_DATABASE_URL": url})
    assert "hunt" not in refusal.value.message
    found = settings.load({"database_url": "postgresql://u:hunter2@db/x"}, environ={})
    assert "hunter2" not in repr(found)


def test_sqlite_is_chosen_over_what_the_environment_says(config):
    environ = {"REGRADE_DATABASE_URL": "postgresql://db/x"}
    assert settings.load(environ=environ).on_postgres
    assert not settings.load({"database_url": "sqlite"}, environ=environ).on_postgres


def test_a_refused_value_of_the_file_names_the_file(config):
    path = config("port = true\n")
    with pytest.raises(ConfigurationError, match=r"port in .*regrade\.toml is 'True'") as refusal:
        settings.load(environ={})
    assert str(path) in refusal.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 8000\n", "a key prot, which Regrade does not know. Did you mean port?"),
        ("[endpoint]\n", "Did you mean endpoints?"),
        ("zzz = 1\n", "The keys are data_dir, database_url, host, port"),
        ("port = \n", "cannot be read as TOML"),
        ("config = 'other.toml'\n", "a key config, which Regrade does not know"),
    ],
)
def test_a_file_with_an_unknown_key_or_no_toml_is_refused(config, text, message):
    config(text)
    with pytest.raises(ConfigurationError) as refusal:
        settings.load(environ={})
    assert message in refusal.value.message


def test_the_tables_of_the_registry_are_kept_as_written_and_stay_out_of_the_repr(config):
    config("[[endpoints]]\nname = 'office'\napi_key = 'hunter2'\n[aliases]\n'o3-mini' = 'Qwen/Qwen3-8B'\n")
    found = settings.load(environ={})
    assert found.registry == {
        "endpoints": [{"name": "office", "api_key": "hunter2"}],
        "aliases": {"o3-mini": "Qwen/Qwen3-8B"},
    }
    assert "hunter2" not in repr(found)


def test_a_relative_path_in_the_file_starts_at_the_file(config, tmp_path, monkeypatch):
    path = config("data_dir = 'data'\nadmin_key_file = '~/key'\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", "/home/someone")
    found = settings.load({"config": str(path)}, environ={})
    assert found.data_dir == tmp_path / "data"
    assert found.admin_key_file == Path("/home/someone/key")


def test_a_relative_path_of_a_flag_starts_at_the_working_directory(config, tmp_path):
    config("")
    assert settings.load({"data_dir": Path("data")}, environ={}).data_dir == tmp_path / "data"


@pytest.mark.parametrize(("flags", "environ"), [({"config": "no.toml"}, {}), ({}, {"REGRADE_CONFIG": "no.toml"})])
def test_a_named_file_must_exist(config, flags, environ):
    with pytest.raises(ConfigurationError, match=r"There is no file .*no\.toml, which .* names"):
        settings.load(flags, environ=environ)


def test_data_goes_where_the_xdg_specification_says(config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert settings.load(environ={}).data_dir == Path("/home/someone/.local/share/regrade")
    assert settings.load(environ={"XDG_DATA_HOME": "/x"}).data_dir == Path("/x/regrade")
    assert settings.load(environ={"XDG_DATA_HOME": "x"}).data_dir == Path("/home/someone/.local/share/regrade")


def test_a_client_takes_its_flags_before_the_environment_and_hides_its_key():
    environ = {"REGRADE_URL": "http://a", "REGRADE_API_KEY": "secret-a", "OPENAI_API_KEY": "never"}
    assert settings.load_client(environ=environ) == settings.ClientSettings(url="http://a", api_key="secret-a")
    given = settings.load_client("http://b/", "secret-b", environ=environ)
    assert given == settings.ClientSettings(url="http://b", api_key="secret-b")
    assert "secret" not in repr(given)
    only_openai = {"OPENAI_API_KEY": "never", "OPENAI_BASE_URL": "http://never"}
    assert settings.load_client(environ=only_openai) == settings.ClientSettings(url=None, api_key=None)


@pytest.mark.parametrize(("value", "is_ci"), [("1", True), ("true", True), ("", False), ("false", False)])
def test_ci_is_what_the_variable_says(value, is_ci):
    assert settings.in_continuous_integration({"CI": value}) is is_ci
