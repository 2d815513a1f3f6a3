"""`regrade models` as a process, on a real file and a real upstream."""

import tomllib

import pytest

from cli.commands import regrade
from regrade.cli.failures import ExitCode
from upstream import upstream

BEFORE = """\
# the office
port = 8010  # not the usual one

[aliases]
"o3-mini" = "echo"  # since spring
"""


@pytest.fixture(scope="module")
def up():
    with upstream("--models", "echo,json,tool") as running:
        yield running


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "regrade.toml"
    path.write_text(BEFORE)
    return path


def add(config, url, *flags, name="office"):
    return regrade("models", "add", name, "--base-url", url, *flags, cwd=config.parent)


def test_add_keeps_everything_that_is_there(config):
    answer = add(
        config, "http://127.0.0.1:9/v1", "--model", "Qwen/*", "--api", "responses", "--max-concurrency", "3"
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "regrade models test office" in answer.stdout
    assert config.read_text() == BEFORE + (
        "\n[[endpoints]]\n"
        'name = "office"\n'
        'base_url = "http://127.0.0.1:9/v1"\n'
        'models = ["Qwen/*"]\n'
        'api = ["responses"]\n'
        "max_concurrency = 3\n"
    )


def test_add_makes_the_file_where_there_is_none(tmp_path):
    path = tmp_path / "new" / "r.toml"
    answer = regrade("models", "add", "x", "--base-url", "http://x/v1", "--config", path, cwd=tmp_path)
    assert answer.returncode == 0
    assert tomllib.loads(path.read_text())["endpoints"][0]["models"] == ["*"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--api", "audio"], "endpoints[0].api"),
        (["--api-key-env", "sk-planted"], "endpoints[0].api_key_env"),
        (["--api-key-env", "A", "--api-key-file", "b"], "a key is in one place"),
    ],
)
def test_add_writes_nothing_that_would_not_be_valid(config, flags, told):
    answer = add(config, "http://x/v1", *flags)
    assert answer.returncode == ExitCode.USAGE
    assert told in answer.stderr
    assert "sk-planted" not in answer.stderr
    assert config.read_text() == BEFORE
    assert [path.name for path in config.parent.iterdir()] == ["regrade.toml"]


def test_a_name_is_added_once(config):
    add(config, "http://x/v1")
    answer = add(config, "http://y/v1")
    assert answer.returncode == ExitCode.USAGE
    assert "'office', as another endpoint's is" in answer.stderr


def test_remove_takes_the_one_and_leaves_the_rest(config):
    add(config, "http://x/v1", name="first")
    add(config, "http://y/v1", name="second")
    assert regrade("models", "remove", "first", cwd=config.parent).returncode == 0
    assert [each["name"] for each in tomllib.loads(config.read_text())["endpoints"]] == ["second"]
    assert regrade("models", "remove", "second", cwd=config.parent).returncode == 0
    assert config.read_text().strip() == BEFORE.strip()
    answer = regrade("models", "remove", "second", cwd=config.parent)
    assert (answer.returncode, "no endpoint second" in answer.stderr) == (ExitCode.USAGE, True)


def test_list_says_what_each_serves_and_whether_its_key_is_there(config, up):
    assert "no endpoints" in regrade("models", "list", cwd=config.parent).stdout
    add(config, up.url, "--api-key-env", "OFFICE")
    without = regrade("models", "list", cwd=config.parent, COLUMNS="200").stdout
    assert "OFFICE (missing)" in without
    told = regrade("models", "list", cwd=config.parent, COLUMNS="200", OFFICE="sk-planted").stdout
    assert all(name in told for name in ("office", up.url, "echo", "json", "tool", "o3-mini is asked as echo"))
    assert "sk-planted" not in told
    assert "missing" not in told


def test_test_says_what_an_endpoint_speaks_and_what_the_file_says_otherwise(config, up):
    add(config, up.url)
    told = regrade("models", "test", "json", cwd=config.parent).stdout
    found = {line.split()[0]: line.split()[1] for line in told.splitlines() if line.startswith("  ")}
    assert found == {
        "chat": "yes", "responses": "yes", "embeddings": "yes", "structured_outputs": "yes", "tools": "no",
    }  # fmt: skip
    assert 'says api = ["chat"]; with json it would be api = ["chat","responses","embeddings"]' in told


def test_test_of_an_endpoint_asks_its_first_model(config, up):
    add(config, up.url)
    assert "Asking echo at" in regrade("models", "test", "office", cwd=config.parent).stdout


def test_test_of_a_dead_endpoint_says_why_and_fails(config):
    add(config, "http://127.0.0.1:9/v1", "--model", "gpt")
    answer = regrade("models", "test", "office", cwd=config.parent)
    assert answer.returncode == ExitCode.UNFINISHED
    assert "cannot be reached" in answer.stdout


def test_test_of_an_unknown_model_names_the_close_ones(config, up):
    add(config, up.url)
    answer = regrade("models", "test", "jason", cwd=config.parent)
    assert answer.returncode == ExitCode.USAGE
    assert "Close to it: json" in answer.stderr


def test_export_copies_a_base_model_and_says_what_it_cannot(tmp_path):
    weights = tmp_path / "models" / "tiny"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text('{"model_type": "llama"}')
    (weights / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "regrade.toml").write_text(
        '[[base_models]]\nname = "tiny"\npath = "models/tiny"\n'
        '[[base_models]]\nname = "q"\nhub = "Qwen/Qwen3-0.6B"\n'
    )

    def export(*arguments):
        return regrade("models", "export", *arguments, "--data-dir", tmp_path / "data", cwd=tmp_path)

    answer = export("tiny", "out")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors", "README.md"}
    for arguments, reason in (
        (("tiny", "out"), "holds something already"),
        (("q", "other"), "on Hugging Face's hub"),
        (("ft:tiny:x::y", "other"), "no tuned model and no base model"),
    ):
        answer = export(*arguments)
        assert answer.returncode != 0
        assert reason in " ".join(answer.stderr.split())
