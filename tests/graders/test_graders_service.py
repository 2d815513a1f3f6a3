"""Graders by themselves: checked, and tried on one sample."""

import pytest

from endpoints import no_models, no_python, no_tuned, python_refused
from regrade.core.errors import InvalidError
from regrade.services.graders import Graders

CHECK = {
    "type": "string_check",
    "name": "c",
    "input": "{{sample.output_text}}",
    "reference": "{{item.ref}}",
    "operation": "eq",
}
NO_ERRORS = {
    "formula_parse_error": False,
    "sample_parse_error": False,
    "truncated_observation_error": False,
    "unresponsive_reward_error": False,
    "invalid_variable_error": False,
    "other_error": False,
    "python_grader_server_error": False,
    "python_grader_server_error_type": None,
    "python_grader_runtime_error": False,
    "python_grader_runtime_error_details": None,
    "model_grader_server_error": False,
    "model_grader_refusal_error": False,
    "model_grader_parse_error": False,
    "model_grader_server_error_details": None,
}


def run(grader, sample="x", **body):
    return Graders(no_models(), no_python(), no_tuned()).run({"grader": grader, "model_sample": sample, **body})


def test_a_reward_comes_with_every_key_that_the_api_lists():
    answer = run(CHECK, item={"ref": "x"})
    assert answer["metadata"].pop("execution_time") >= 0.0
    assert answer == {
        "reward": 1.0,
        "metadata": {
            "name": "c",
            "type": "string_check",
            "errors": NO_ERRORS,
            "error_messages": [],
            "scores": {},
            "token_usage": None,
            "sampled_model_name": None,
        },
        "sub_rewards": {},
        "model_grader_token_usage_per_model": {},
    }


def test_a_missing_variable_is_reported_with_reward_0():
    answer = run(CHECK, item={})
    assert answer["reward"] == 0.0
    assert answer["metadata"]["errors"] == NO_ERRORS | {"invalid_variable_error": True}
    assert "{{item.ref}}" in answer["metadata"]["error_messages"][0]


@pytest.mark.parametrize("body", [{}, {"item": None}, {"item": {}}])
def test_the_item_may_be_left_out(body):
    assert run(CHECK | {"reference": "x"}, **body)["reward"] == 1.0


def test_a_sample_that_is_json_can_be_walked_into():
    check = CHECK | {"input": "{{sample.output_json.answer[0]}} {{sample.choices[0].message.role}}"}
    assert run(check, '{"answer": ["x"]}', item={"ref": "x assistant"})["reward"] == 1.0


def test_a_multi_grader_reports_the_scores_of_its_graders():
    graders = {"a": CHECK, "b": CHECK | {"operation": "ne"}}
    answer = run({"type": "multi", "graders": graders, "calculate_output": "a + 2 * b"}, item={"ref": "x"})
    assert answer["reward"] == 1.0
    assert answer["sub_rewards"] == answer["metadata"]["scores"] == {"a": 1.0, "b": 0.0}


def test_errors_of_inner_graders_set_their_flags():
    grader = {"type": "multi", "graders": {"a": CHECK}, "calculate_output": "1 / a"}
    errors = run(grader)["metadata"]["errors"]
    assert errors == NO_ERRORS | {"invalid_variable_error": True, "other_error": True}


def test_a_formula_that_does_not_parse_is_reported_by_run_and_refused_by_validate():
    grader = {"type": "multi", "name": "m", "graders": {"a": CHECK}, "calculate_output": "a + b"}
    answer = run(grader, item={"ref": "x"})
    assert answer["reward"] == 0.0
    assert answer["metadata"]["errors"] == NO_ERRORS | {"formula_parse_error": True}
    assert (answer["metadata"]["name"], answer["metadata"]["type"]) == ("m", "multi")
    with pytest.raises(InvalidError, match="no grader called 'b'") as caught:
        Graders(no_models(), no_python(), no_tuned()).validate({"grader": grader})
    assert caught.value.param == "grader.calculate_output"


def test_a_valid_grader_comes_back_as_understood():
    assert Graders(no_models(), no_python(), no_tuned()).validate({"grader": CHECK | {"operation": "neq"}}) == {
        "grader": CHECK | {"operation": "ne"}
    }


def test_a_python_grader_is_refused_where_nothing_can_confine_it(tmp_path):
    python = {"type": "python", "name": "p", "source": "def grade(sample, item): return 1.0"}
    graders = Graders(no_models(), python_refused(tmp_path), no_tuned())
    for attempt in (graders.validate, graders.run):
        with pytest.raises(InvalidError, match=r"cannot confine.*Ways out") as caught:
            attempt({"grader": python, "model_sample": "x"})
        assert caught.value.param == "grader"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "grader"),
        ({"grader": CHECK}, "model_sample"),
        ({"grader": CHECK, "model_sample": 5}, "model_sample"),
        ({"grader": CHECK, "model_sample": "x", "item": []}, "item"),
        ({"grader": CHECK | {"operation": "="}, "model_sample": "x"}, "grader.operation"),
        ({"grader": CHECK | {"input": "{{foo.bar}}"}, "model_sample": "x"}, "grader.input"),
    ],
)
def test_a_wrong_body_is_refused_with_the_path(body, param):
    with pytest.raises(InvalidError) as caught:
        Graders(no_models(), no_python(), no_tuned()).run(body)
    assert caught.value.param == param
