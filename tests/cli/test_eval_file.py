import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.cli import eval_file
from regrade.core.errors import InvalidError, NotFoundError

EVAL = {"data_source_config": {"type": "custom", "item_schema": {}}, "testing_criteria": [{"type": "string_check"}]}
SOURCE = {"type": "jsonl", "source": {"type": "file_id", "id": "file-1"}}

YAML = """
name: Capitals
data: rows.jsonl
eval:
  data_source_config: {type: custom, item_schema: {type: object}}
  testing_criteria: [{type: string_check, operation: eq, input: "{{item.a}}", reference: no}]
run: {metadata: {since: 2026-01-01}}
gate: {fail_under: 0.5}
"""
TOML = """
name = "Capitals"
data = "rows.jsonl"
gate.fail_under = 0.5
run.metadata.since = "2026-01-01"
[eval]
data_source_config = {type = "custom", item_schema = {type = "object"}}
testing_criteria = [{type = "string_check", operation = "eq", input = "{{item.a}}", reference = "no"}]
"""
JSON = """
{"name": "Capitals", "data": "rows.jsonl", "gate": {"fail_under": 0.5},
 "run": {"metadata": {"since": "2026-01-01"}},
 "eval": {"data_source_config": {"type": "custom", "item_schema": {"type": "object"}}, "testing_criteria":
  [{"type": "string_check", "operation": "eq", "input": "{{item.a}}", "reference": "no"}]}}
"""


@pytest.fixture
def write(tmp_path):
    """Write an eval file beside a rows.jsonl."""
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')

    def write(content, name="capitals.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(("name", "text"), [("e.yaml", YAML), ("e.YML", YAML), ("e.toml", TOML), ("e.json", JSON)])
def test_yaml_toml_and_json_say_the_same(write, tmp_path, name, text):
    path = write(text, name)
    assert eval_file.read(path) == eval_file.EvalFile(
        path=path,
        name="Capitals",
        eval={
            "name": "Capitals",
            "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
            "testing_criteria": [
                {"type": "string_check", "operation": "eq", "input": "{{item.a}}", "reference": "no"}
            ],
        },
        run={"name": "Capitals", "metadata": {"since": "2026-01-01"}, "data_source": {"type": "jsonl"}},
        data=tmp_path / "rows.jsonl",
        fail_under=0.5,
    )


def test_names_in_the_bodies_win_and_without_any_name_the_files_name_is_taken(write):
    named = eval_file.read(write({"eval": {**EVAL, "name": "E"}, "run": {"name": "R"}, "data": "rows.jsonl"}))
    assert (named.name, named.eval["name"], named.run["name"]) == ("capitals", "E", "R")
    assert named.fail_under is None


def test_an_eval_can_be_named_and_rows_can_be_on_the_server(write):
    found = eval_file.read(write({"eval": "eval_1", "run": {"data_source": SOURCE}}))
    assert found.eval == "eval_1"
    assert found.run == {"name": "capitals", "data_source": SOURCE}
    assert found.data is None


@pytest.mark.parametrize(
    ("content", "param", "message"),
    [
        ({"eval": EVAL, "dta": "rows.jsonl"}, "dta", "Did you mean data?"),
        ({"eval": EVAL, "xyz": 1}, "xyz", "The keys are name, eval, run, data, gate."),
        ({"data": "rows.jsonl"}, "eval", "has no eval"),
        ({"eval": [], "data": "rows.jsonl"}, "eval", "must be an object or the id"),
        (
            {"eval": {"testing_criteria": []}, "data": "rows.jsonl"},
            "eval.data_source_config",
            "no data_source_config",
        ),
        ({"eval": EVAL, "data": "rows.jsonl", "name": 1}, "name", "name must be a text"),
        ({"eval": EVAL, "data": 1}, "data", "must be the path"),
        ({"eval": EVAL}, "data", "must say once where its rows are"),
        ({"eval": EVAL, "data": "rows.jsonl", "run": {"data_source": SOURCE}}, "data", "must say once"),
        ({"eval": EVAL, "data": "rows.jsonl", "run": []}, "run", "run must be an object"),
        ({"eval": EVAL, "data": "rows.jsonl", "run": {"data_source": 1}}, "run.data_source", "must be an object"),
        ({"eval": EVAL, "data": "rows.jsonl", "gate": {"fail_under": 2}}, "gate", "X from 0 to 1"),
        ({"eval": EVAL, "data": "rows.jsonl", "gate": {"fail_under": 1, "x": 1}}, "gate", "gate must be"),
        ({"eval": EVAL, "data": "rows.jsonl", "gate": {"fail_under": "0.5"}}, "gate", "gate must be"),
    ],
)
def test_a_wrong_key_is_refused_with_its_path(write, content, param, message):
    with pytest.raises(InvalidError) as refusal:
        eval_file.read(write(content))
    assert refusal.value.param == param
    assert message in refusal.value.message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.json", "{", "e.json cannot be read: This is not valid JSON"),
        ("e.json", "[]", "must hold one object"),
        ("e.yaml", "a: [", "e.yaml cannot be read: This is not valid YAML"),
        ("e.yaml", "1: 2", "the key 1 of the file must be a text: quote it"),
        ("e.yaml", "eval: {a: [{b: .nan}]}", "eval.a[0].b is nan, which JSON does not have"),
        ("e.yaml", "eval: !!binary aGk=", "eval must be a JSON value"),
        ("e.toml", "eval = 2026-01-01", "eval must be a JSON value; quote 2026-01-01"),
        ("e.toml", "a = ", "e.toml cannot be read"),
        ("e.txt", "", "its name must end with .yaml, .yml, .json, .toml"),
    ],
)
def test_what_is_no_json_in_any_dress_is_refused(write, name, text, message):
    with pytest.raises(InvalidError) as refusal:
        eval_file.read(write(text, name))
    assert message in refusal.value.message


def test_missing_files_are_named(write, tmp_path):
    with pytest.raises(NotFoundError, match=r"There is no eval file .*none\.yaml"):
        eval_file.read(tmp_path / "none.yaml")
    with pytest.raises(
        NotFoundError, match=r"There is no file .*none\.jsonl, which data in .*capitals\.json names"
    ):
        eval_file.read(write({"eval": EVAL, "data": "none.jsonl"}))


@given(st.sampled_from(["yes", "no", "on", "off", "y", "n", "2026-01-01", "12:30:00x", "Norway"]))
def test_words_of_yaml_are_texts(word):
    assert eval_file._parse_yaml(f"a: {word}".encode()) == {"a": word}


def test_yaml_keeps_numbers_truths_and_nothing():
    assert eval_file._parse_yaml(b"[1, 2.5, true, FALSE, null, ~, '1']") == [1, 2.5, True, False, None, None, "1"]
