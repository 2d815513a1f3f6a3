"""Where a request does not fit its type, the first field at fault is named as a client would write it."""

import pytest

from regrade.core.errors import InvalidError
from regrade.core.parsing import parse
from regrade.types.graders import Grader, RunGrader, StringCheck

CHECK = {"type": "string_check", "input": "a", "reference": "b", "operation": "eq"}
MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"


def model(content):
    return {"type": "score_model", "model": "m", "input": [{"role": "user", "content": content}]}


def without(key):
    return {name: value for name, value in CHECK.items() if name != key}


@pytest.mark.parametrize(
    ("document", "param", "code"),
    [
        ({}, "type", MISSING),
        (without("input"), "input", MISSING),
        (CHECK | {"type": "unheard_of"}, "type", VALUE),
        (CHECK | {"type": 5}, "type", VALUE),
        (CHECK | {"input": None}, "input", TYPE),
        (CHECK | {"operation": "="}, "operation", VALUE),
        (CHECK | {"name": "n" * 1000}, "name", VALUE),
        (model([{"type": "input_text"}]), "input[0].content[0].text", MISSING),
        (model([{"type": "hologram"}]), "input[0].content[0].type", VALUE),
        (model([{}]), "input[0].content[0].type", MISSING),
        (model({"type": "input_text", "text": 1}), "input[0].content.text", TYPE),
        (model(5), "input[0].content", TYPE),
        (model(["a", 5]), "input[0].content[1]", TYPE),
        (model("a") | {"sampling_params": {"max_tokens": 0}}, "sampling_params.max_tokens", VALUE),
        (model("a") | {"sampling_params": {"seed": 1.5}}, "sampling_params.seed", TYPE),
        (model("a") | {"input": "a"}, "input", TYPE),
        (
            {"type": "multi", "calculate_output": "a", "graders": {"a": without("input")}},
            "graders.a.input",
            MISSING,
        ),
        ({"type": "multi", "calculate_output": "a", "graders": [CHECK, {}]}, "graders[1].type", MISSING),
        ({"type": "multi", "calculate_output": "a", "graders": without("input")}, "graders.input", MISSING),
        ({"type": "multi", "calculate_output": "a", "graders": 5}, "graders", TYPE),
    ],
)
def test_the_first_field_at_fault_is_named(document, param, code):
    with pytest.raises(InvalidError) as caught:
        parse(Grader, document)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert f"'{param}'" in caught.value.message
    with pytest.raises(InvalidError) as caught:
        parse(Grader, document, at="testing_criteria[2]")
    assert caught.value.param == f"testing_criteria[2].{param}"


@pytest.mark.parametrize("document", [None, 5, "x", []])
def test_a_document_that_is_no_object_is_named_as_a_whole(document):
    with pytest.raises(InvalidError, match="expected an object") as caught:
        parse(RunGrader, document)
    assert (caught.value.param, caught.value.code) == (None, TYPE)


def test_a_wrong_value_is_answered_with_the_supported_ones():
    with pytest.raises(InvalidError, match="'like' or 'ilike'"):
        parse(Grader, CHECK | {"operation": "contains"})


def test_a_long_wrong_value_is_not_repeated():
    with pytest.raises(InvalidError) as caught:
        parse(Grader, CHECK | {"type": "x" * 10_000})
    assert len(caught.value.message) < 500


def test_unknown_fields_and_explicit_nulls_pass():
    grader = parse(StringCheck, CHECK | {"name": None, "colour": "red"})
    assert grader.model_extra == {"colour": "red"}
