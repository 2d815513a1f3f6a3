"""Eval files that somebody else wrote."""

import pytest

from regrade.cli import eval_file
from regrade.core.errors import InvalidError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("laughs.yaml", LAUGHS, "more than 1,000,000 values"),
        ("merged.yaml", MERGED, "more than 1,000,000 values"),
        ("itself.yaml", "eval: &a [*a]\n", "holds the alias itself"),
        ("deep.yaml", "eval: " + "[" * 5000, "nested too deeply"),
        ("deep.toml", "eval = " + "[" * 5000, "nested too deeply"),
        ("dotted.toml", "eval" + ".a" * 5000 + " = 1", "nested too deeply"),
        ("deep.json", '{"eval": ' + "[" * 5000, "cannot be read"),
        ("object.yaml", "eval: !!python/object/apply:os.getcwd []\n", "cannot be read"),
        ("digits.yaml", "eval: " + "9" * 100_000, "cannot be read"),
    ],
)
def test_a_file_that_is_a_trap_is_refused(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidError, match=reason):
        eval_file.read(path)


def test_aliases_are_fine(tmp_path):
    path = tmp_path / "eval.yaml"
    path.write_text(
        "eval:\n  data_source_config: &c {type: custom, item_schema: {}}\n"
        "  testing_criteria: [*c, {<<: *c, a: no}]\n"
        "run: {data_source: {type: jsonl, source: {type: file_id, id: file-1}}}\n"
    )
    config = {"type": "custom", "item_schema": {}}
    read = eval_file.read(path)
    assert read.eval["testing_criteria"] == [config, {**config, "a": "no"}]
