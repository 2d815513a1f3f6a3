"""Testing criteria: their normal form, and the reasons to refuse one."""

import itertools

import pytest

from regrade.core.criteria import normalise, normalise_all
from regrade.core.errors import InvalidError
from regrade.core.formula import FormulaError

CHECK = {"type": "string_check", "name": "Exact", "input": "{{item.a}}", "reference": "b", "operation": "eq"}
ALIKE = {"type": "text_similarity", "input": "a", "reference": "b", "evaluation_metric": "bleu"}
SCORE = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "Rate {{sample.output_text}}"}]}
LABEL = {**SCORE, "type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}
PYTHON = {"type": "python", "source": "def grade(sample, item):\n    return 1.0\n"}
MULTI = {"type": "multi", "graders": {"a": CHECK, "b": ALIKE}, "calculate_output": "(a + b) / 2"}


def refused(document, **options):
    with pytest.raises(InvalidError) as caught:
        normalise(document, at="testing_criteria[0]", **options)
    return caught.value


@pytest.mark.parametrize("document", [CHECK, ALIKE, SCORE, LABEL, PYTHON, MULTI])
def test_the_normal_form_is_its_own_normal_form(document):
    normal = normalise(document)
    assert normalise(normal) == normal


@pytest.mark.parametrize("document", [CHECK, ALIKE, SCORE, LABEL, PYTHON, MULTI])
def test_unknown_fields_and_nulls_are_kept(document):
    normal = normalise({**document, "colour": "red", "image_tag": None})
    assert normal["colour"] == "red"
    assert normal["image_tag"] is None


def test_the_document_sent_is_left_as_it_was():
    document = {**CHECK, "operation": "neq"}
    assert normalise(document)["operation"] == "ne"
    assert document["operation"] == "neq"


@pytest.mark.parametrize("name", [None, ""])
def test_a_grader_without_a_name_is_called_like_its_type(name):
    assert normalise({**PYTHON, "name": name})["name"] == "python"
    assert normalise(PYTHON)["name"] == "python"


def test_each_criterion_gets_an_id_of_its_name_and_a_uuid():
    numbers = itertools.count(1)
    criteria = normalise_all([CHECK, CHECK, PYTHON], lambda: f"uuid-{next(numbers)}")
    assert [criterion["id"] for criterion in criteria] == ["Exact-uuid-1", "Exact-uuid-2", "python-uuid-3"]


def test_the_criterion_at_fault_is_named_by_its_index():
    with pytest.raises(InvalidError) as caught:
        normalise_all([CHECK, {**CHECK, "input": "{{foo.bar}}"}], str)
    assert caught.value.param == "testing_criteria[1].input"


def test_thresholds_have_a_default_and_zero_is_not_it():
    assert normalise(ALIKE)["pass_threshold"] == 0.5
    assert normalise({**ALIKE, "pass_threshold": None})["pass_threshold"] == 0.5
    assert normalise({**ALIKE, "pass_threshold": 0})["pass_threshold"] == 0


def test_messages_come_back_as_parts():
    assert normalise(SCORE)["input"] == [
        {
            "type": "message",
            "role": "user",
            "content": {"type": "input_text", "text": "Rate {{sample.output_text}}"},
        }
    ]


@pytest.mark.parametrize(
    "key", ["max_tokens", "max_completion_tokens", "max_completions_tokens", "max_output_tokens"]
)
def test_every_spelling_of_the_token_limit_is_kept_as_sent(key):
    assert normalise({**SCORE, "sampling_params": {key: 9}})["sampling_params"] == {key: 9}


@pytest.mark.parametrize(
    ("graders", "keys"),
    [
        ({"a": CHECK}, ["a"]),
        (CHECK, ["Exact"]),
        ([CHECK, ALIKE], ["Exact", "text_similarity"]),
        ([{**CHECK, "name": "2nd look (strict)"}], ["_2nd_look_strict_"]),
    ],
)
def test_the_graders_of_a_multi_are_answered_by_key(graders, keys):
    normal = normalise({"type": "multi", "graders": graders, "calculate_output": " + ".join(keys)})
    assert list(normal["graders"]) == keys
    assert all("id" not in grader for grader in normal["graders"].values())


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({**CHECK, "input": "{{foo.bar}}"}, "input"),
        ({**CHECK, "reference": "{{item.a | upper}}"}, "reference"),
        ({**SCORE, "input": [{"role": "user", "content": "{{foo.bar}}"}]}, "input[0].content"),
        (
            {**SCORE, "input": [{"role": "user", "content": ["a", {"type": "text", "text": "{{foo.bar}}"}]}]},
            "input[0].content[1].text",
        ),
        (
            {**SCORE, "input": [{"role": "user", "content": {"type": "input_image", "image_url": "{{foo.bar}}"}}]},
            "input[0].content.image_url",
        ),
        (
            {
                **SCORE,
                "input": [{"role": "u", "content": [{"type": "image_url", "image_url": {"url": "{{a.b}}"}}]}],
            },
            "input[0].content[0].image_url.url",
        ),
        (
            {
                **SCORE,
                "input": [{"role": "u", "content": [{"type": "input_audio", "input_audio": {"data": "{{a.b}}"}}]}],
            },
            "input[0].content[0].input_audio.data",
        ),
        ({**SCORE, "range": [1]}, "range"),
        ({**SCORE, "range": [1, 1]}, "range"),
        ({**SCORE, "range": [1, 0]}, "range"),
        ({**SCORE, "range": ["0", "1"]}, "range[0]"),
        ({**LABEL, "labels": []}, "labels"),
        ({**LABEL, "passing_labels": ["good", "fine"]}, "passing_labels[1]"),
        ({**PYTHON, "image_tag": "1999-01-01"}, "image_tag"),
        ({**PYTHON, "source": "def grade(sample, item)"}, "source"),
        ({**PYTHON, "source": "def grade(sample):\n    return 1"}, "source"),
        ({**PYTHON, "source": "def grade(a, b, c):\n    return 1"}, "source"),
        ({**PYTHON, "source": "async def grade(a, b):\n    return 1"}, "source"),
        ({**PYTHON, "source": "def grade(a, b, *, c):\n    return 1"}, "source"),
        ({**PYTHON, "source": "x = 1"}, "source"),
        ({**PYTHON, "source": "\x00"}, "source"),
        ({**PYTHON, "source": "-" * 100_000 + "1"}, "source"),
        ({**PYTHON, "source": PYTHON["source"] + "#" * 256_000}, "source"),
        ({**MULTI, "graders": {"a": MULTI}}, "graders.a"),
        ({**MULTI, "graders": [CHECK, MULTI]}, "graders[1]"),
        ({**MULTI, "graders": MULTI}, "graders"),
        ({**MULTI, "graders": {}}, "graders"),
        ({**MULTI, "graders": []}, "graders"),
        ({**MULTI, "graders": [CHECK, CHECK]}, "graders[1]"),
        ({**MULTI, "graders": {"similarity-score": CHECK}}, "graders.similarity-score"),
        ({**MULTI, "graders": {"a": {**CHECK, "input": "{{foo.bar}}"}}}, "graders.a.input"),
        ({**MULTI, "calculate_output": "a + c"}, "calculate_output"),
    ],
)
def test_a_wrong_definition_is_refused_with_the_path(document, param):
    assert refused(document).param == f"testing_criteria[0].{param}"


def test_a_wrong_formula_can_be_told_from_other_mistakes():
    assert isinstance(refused({**MULTI, "calculate_output": "a +"}), FormulaError)
    assert not isinstance(refused({**MULTI, "graders": {}}), FormulaError)


def test_a_python_source_in_any_style_is_accepted_without_a_warning():
    source = "def helper(): pass\ndef grade(s, i, /, *, k=1):\n    return float('\\d' is 1)\n"
    assert normalise({**PYTHON, "source": source, "image_tag": "2025-05-08"})["source"] == source


def test_a_field_that_no_item_can_have_is_refused_where_the_schema_is_closed():
    closed = {"properties": {"a": {}}, "additionalProperties": False}
    error = refused({**CHECK, "reference": "{{item.b}}"}, item_schema=closed)
    assert error.param == "testing_criteria[0].reference"
    assert "its properties are: 'a'" in error.message
    assert normalise(CHECK, item_schema=closed)["input"] == "{{item.a}}"
    multi = {**MULTI, "graders": {"a": {**CHECK, "reference": "{{item.b}}"}}, "calculate_output": "a"}
    assert refused(multi, item_schema=closed).param == "testing_criteria[0].graders.a.reference"


@pytest.mark.parametrize(
    "open_schema",
    [
        {},
        {"properties": {"a": {}}},
        {"properties": {}, "additionalProperties": False, "patternProperties": {"b": {}}},
    ],
)
def test_a_field_that_an_item_might_have_is_accepted(open_schema):
    assert normalise({**CHECK, "reference": "{{item.b}}"}, item_schema=open_schema)["reference"] == "{{item.b}}"
