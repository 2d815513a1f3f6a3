import re
import subprocess
import sys

import pytest

from cli.commands import environment, regrade
from regrade import __version__, settings

HEAVY = ["fastapi", "sqlalchemy", "dbos", "pydantic", "openai", "torch", "aiohttp", "uvicorn", "yaml", "orjson"]
LOADED = """
import sys
from regrade.cli import main
sys.argv = ["regrade", *sys.argv[1:]]
try:
    main()
finally:
    print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("arguments", [[], ["serve"], ["run"]])
def test_help_answers_without_loading_anything_heavy(arguments):
    command = [sys.executable, "-c", LOADED, *arguments, "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert answer.returncode == 0
    assert "Usage: regrade" in answer.stdout
    loaded = answer.stdout.rsplit("LOADED", 1)[1].split()
    assert "typer" in loaded
    # typer itself reads a command's parameters with pydantic; nothing of ours may need more than orjson.
    allowed = {"orjson", "pydantic"} if arguments else {"orjson"}
    assert set(loaded) & set(HEAVY) <= allowed


def test_every_setting_is_a_flag_of_serve():
    told = regrade("serve", "--help", COLUMNS="200").stdout
    for name in settings.options():
        assert re.search(rf"--{name.replace('_', '-')}\b", told), name


def test_the_version_is_the_packages():
    assert regrade("--version").stdout == f"regrade {__version__}\n"


@pytest.mark.parametrize("arguments", [["srve"], ["run"], ["serve", "--prot", "1"]])
def test_a_usage_error_has_exit_code_2(arguments):
    answer = regrade(*arguments)
    assert answer.returncode == 2
    assert "Usage: regrade" in answer.stderr


def test_a_failure_is_a_sentence_and_only_with_debug_a_traceback(tmp_path):
    answer = regrade("run", tmp_path / "none.yaml")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == f"regrade: There is no eval file {tmp_path / 'none.yaml'}.\n"
    assert "Traceback" in regrade("--debug", "run", tmp_path / "none.yaml").stderr


def test_a_setting_that_does_not_fit_stops_the_server_before_it_starts(tmp_path):
    answer = regrade("serve", "--data-dir", tmp_path / "data", "--max-row-bytes", "16 potatoes")
    assert answer.returncode == 2
    assert "--max-row-bytes is '16 potatoes', but it must be a size" in answer.stderr
    assert not (tmp_path / "data").exists()
