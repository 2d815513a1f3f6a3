import re
from pathlib import Path

import pytest

from cli.commands import regrade
from regrade import settings
from regrade.cli import app, eval_file
from regrade.cli.failures import ExitCode

ROOT = Path(__file__).parents[2]
CLI = (ROOT / "docs" / "cli.md").read_text()
EVAL_FILE = (ROOT / "docs" / "eval-file.md").read_text()
README = (ROOT / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_every_command_has_its_place_in_the_manual():
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    for name in [*names, *(group.name for group in app.registered_groups)]:
        assert f"regrade {name}" in CLI


@pytest.mark.parametrize("name", settings.options())
def test_every_setting_is_in_the_manual_with_its_default_and_meaning(name):
    option, default = settings.options()[name]
    (row,) = [line for line in CLI.splitlines() if f"`REGRADE_{name.upper()}`" in line]
    flag, _, told, meaning = [cell.strip() for cell in row.strip("|").split("|")]
    assert flag == f"`--{name.replace('_', '-')}`"
    assert meaning == option.meaning
    if isinstance(default, int):
        assert option.read(told.strip("`")) == default
    elif isinstance(default, str):
        assert told == f"`{default}`"


@pytest.mark.parametrize("command", ["serve", "worker", "run", "demo"])
def test_every_flag_is_in_the_manual(command):
    for flag in re.findall(r"--[a-z][a-z-]+", regrade(command, "--help", COLUMNS="200").stdout):
        assert flag == "--help" or f"`{flag}" in CLI, flag


def test_every_exit_code_is_in_the_manual():
    section = CLI.split("### Exit codes")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE) == [str(int(code)) for code in ExitCode]


def test_the_eval_files_of_the_manual_say_the_same_in_three_dresses(tmp_path):
    (tmp_path / "capitals.jsonl").write_text("{}\n")
    parsed = []
    for language in ("yaml", "toml"):
        (text,) = blocks(EVAL_FILE, language)
        path = tmp_path / f"e.{language}"
        path.write_text(text)
        parsed.append(eval_file.read(path))
    rows, text = blocks(EVAL_FILE, "json")
    assert rows.startswith('{"item"')
    (tmp_path / "e.json").write_text(text)
    parsed.append(eval_file.read(tmp_path / "e.json"))
    assert parsed[0].eval == parsed[1].eval == parsed[2].eval
    assert parsed[0].run == parsed[1].run == parsed[2].run
    assert {file.fail_under for file in parsed} == {0.9}


def test_the_configuration_of_the_manual_is_one(tmp_path):
    (text,) = blocks(CLI, "toml")
    path = tmp_path / "regrade.toml"
    path.write_text(text)
    found = settings.load({"config": str(path)}, environ={})
    assert (found.port, found.workers, found.data_dir, found.max_row_bytes) == (
        8010,
        2,
        tmp_path / "data",
        32 << 20,
    )


def test_the_readmes_snippet_runs(server, capsys):
    (snippet,) = blocks(README, "python")
    assert "http://127.0.0.1:8000/v1" in snippet
    scope = {}
    try:
        exec(snippet.replace("http://127.0.0.1:8000", server.url), scope)
    finally:
        scope["client"].close()
    assert capsys.readouterr().out.startswith(f"{server.url}/evals/eval_")


def test_links_between_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
