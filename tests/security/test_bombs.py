"""Small requests that would become large work, and texts that would become large objects."""

import pytest

from regrade.core import criteria, jsontext, templates
from regrade.core.errors import InvalidError, RowError
from regrade.core.templates import compile_template


def check(**grader):
    return criteria.normalise({"type": "string_check", "input": "a", "reference": "a", "operation": "eq", **grader})


def test_a_template_has_a_bounded_number_of_variables():
    compile_template("{{item.a}}" * templates.MAX_VARIABLES)
    with pytest.raises(InvalidError, match="at most 256 can be named") as refused:
        check(input="{{item.a}}" * (templates.MAX_VARIABLES + 1))
    assert refused.value.param == "grader.input"


@pytest.mark.parametrize("path", ["item" + ".a" * 1000, "foo" + ".a" * 1000, "item[" + "0" * 1000 + "]"])
def test_a_path_has_a_bounded_length_and_is_not_repeated_whole(path):
    with pytest.raises(InvalidError) as refused:
        compile_template("{{" + path + "}}")
    assert len(refused.value.message) < 500


def test_braces_that_name_nothing_cost_no_object_each():
    template = compile_template("}}" * 1_000_000 + "{{item.a}}" + "{{ }}" * 100_000)
    assert template.render({"a": "x"}, {}) == "}}" * 1_000_000 + "x" + "{{ }}" * 100_000


class Weighed(dict):
    """An object that tells how often it was turned into text."""

    times = 0

    def __getitem__(self, key):
        Weighed.times += 1
        return ["x" * 1_000_000] * 5


def test_a_text_that_is_too_long_is_not_made_first():
    template = compile_template("{{item.a}}" * 100)
    with pytest.raises(RowError, match="more than 16000000 characters"):
        template.render(Weighed(), {})
    assert Weighed.times < 10


def test_json_has_a_bounded_number_of_containers():
    with pytest.raises(jsontext.JsonTextError, match="arrays and objects"):
        jsontext.loads(b"[" + b"[]," * jsontext.MAX_CONTAINERS + b"[]]")


@pytest.mark.parametrize("digits", [4_301, 1_000_000])
def test_an_integer_of_very_many_digits_is_refused(digits):
    with pytest.raises(jsontext.JsonTextError, match="digits"):
        jsontext.loads(b"[" + b"9" * digits + b"]")


def test_an_eval_has_a_bounded_number_of_criteria(client):
    criterion = {"type": "string_check", "input": "a", "reference": "a", "operation": "eq"}
    with pytest.raises(Exception, match="testing_criteria") as refused:
        client.evals.create(
            data_source_config={"type": "custom", "item_schema": {}}, testing_criteria=[criterion] * 1001
        )
    assert refused.value.status_code == 400


def test_a_multi_grader_has_a_bounded_number_of_graders():
    one = {"type": "string_check", "input": "a", "reference": "a", "operation": "eq"}
    for graders in ({f"g{n}": one for n in range(101)}, [{**one, "name": f"g{n}"} for n in range(101)]):
        with pytest.raises(InvalidError, match="at most 100"):
            criteria.normalise({"type": "multi", "calculate_output": "g0", "graders": graders})


def test_a_python_source_of_very_many_braces_is_refused_before_it_is_parsed():
    source = "def grade(sample, item): return 1\nx = f'" + "{1}" * 50_000 + "'\n"
    with pytest.raises(InvalidError, match="braces"):
        criteria.normalise({"type": "python", "source": source})
