"""Graders: what each says of a row, and what it says of a row that it cannot grade."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints import no_models, no_python, python_refused
from regrade.core.criteria import normalise
from regrade.core.errors import InvalidError
from regrade.graders.build import build, check
from regrade.ports.grading import Row

MODELS = no_models()
CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.ref}}", "operation": "eq"}
ALIKE = {
    "type": "text_similarity",
    "input": "{{item.a}}",
    "reference": "{{item.b}}",
    "evaluation_metric": "rouge_1",
}
SCORE = {"type": "score_model", "name": "judge", "model": "gpt-4o", "input": [{"role": "user", "content": "Rate"}]}
LABEL = {**SCORE, "type": "label_model", "labels": ["a"], "passing_labels": ["a"]}
PYTHON = {"type": "python", "source": "def grade(sample, item): return 1.0"}


def grade(document, item=None, sample=None):
    return asyncio.run(build(normalise(document), MODELS, no_python().open()).grade(Row(item or {}, sample or {})))


def compare(operation, text, reference):
    return grade(CHECK | {"operation": operation}, {"ref": reference}, {"output_text": text})


@given(st.text(), st.text())
def test_string_checks_mean_what_the_operators_mean(text, reference):
    expected = {
        "eq": text == reference,
        "ne": text != reference,
        "neq": text != reference,
        "like": reference in text,
        "ilike": reference.lower() in text.lower(),
    }
    for operation, holds in expected.items():
        result = compare(operation, text, reference)
        assert (result.passed, result.score, result.error) == (holds, float(holds), None)


@pytest.mark.parametrize(
    ("operation", "text", "reference", "passed"),
    [
        ("eq", "a", "a ", False),
        ("eq", "5", 5, True),
        ("eq", "", None, True),
        ("like", "The answer is 5.", "5", True),
        ("like", "5", "The answer is 5.", False),
        ("like", "anything", "", True),
        ("like", "100%", "%", True),
        ("like", "abc", "a%c", False),
        ("ilike", "PARIS", "paris", True),
        ("like", "PARIS", "paris", False),
    ],
)
def test_string_checks_compare_text_as_it_is(operation, text, reference, passed):
    assert compare(operation, text, reference).passed is passed


@pytest.mark.parametrize(("threshold", "passed"), [(0.5, True), (0.51, False), (0, True)])
def test_similarity_passes_at_its_threshold(threshold, passed):
    result = grade(ALIKE | {"pass_threshold": threshold}, {"a": "one two", "b": "two three"})
    assert result.score == 0.5
    assert result.passed is passed


def test_meteor_says_which_stages_it_used():
    result = grade(ALIKE | {"evaluation_metric": "meteor"}, {"a": "running cats", "b": "run cat"})
    assert result.extra["meteor_stages"][:2] == ["exact", "stem"]
    assert result.score > 0.9


@pytest.mark.parametrize("document", [CHECK, ALIKE])
def test_a_row_without_what_a_template_names_is_an_error_that_names_it(document):
    result = grade(document, {"b": 1})
    assert (result.score, result.passed) == (0.0, False)
    assert result.error.kind == "invalid_variable_error"
    assert result.error.message.startswith("The template names {{")


def test_texts_too_long_to_compare_are_an_error_that_says_so():
    item = {"a": "x " * 200_000, "b": "y " * 200_000}
    result = grade(ALIKE | {"evaluation_metric": "rouge_l"}, item)
    assert (result.score, result.passed, result.error.kind) == (0.0, False, "other_error")
    assert "too long for rouge_l" in result.error.message


def multi(formula, **options):
    return {"type": "multi", "graders": {"exact": CHECK, "alike": ALIKE}, "calculate_output": formula, **options}


ROW = ({"ref": "x", "a": "one two", "b": "two three"}, {"output_text": "x"})


def test_a_multi_grader_scores_by_its_formula():
    result = grade(multi("0.2 * exact + 0.8 * alike"), *ROW)
    assert result.score == pytest.approx(0.6)
    assert result.passed
    assert result.sub_scores == {"exact": 1.0, "alike": 0.5}
    assert (result.error, result.sub_errors) == (None, [])


def test_a_multi_grader_passes_at_its_threshold():
    assert not grade(multi("exact * alike", pass_threshold=0.6), *ROW).passed
    assert grade(multi("exact * alike", pass_threshold=0.5), *ROW).passed


def test_a_grader_that_errs_counts_as_0_in_the_formula():
    item, _ = ROW
    result = grade(multi("exact + alike"), item)
    assert result.score == 0.5
    assert result.error is None
    assert [error.kind for error in result.sub_errors] == ["invalid_variable_error"]


def test_a_formula_without_a_value_is_an_error():
    result = grade(multi("alike / (exact - 1)"), *ROW)
    assert (result.score, result.passed, result.error.kind) == (0.0, False, "other_error")
    assert result.error.message == (
        "The formula 'alike / (exact - 1)' has no value for alike = 0.5, exact = 1: it divides by zero."
    )


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        (SCORE, ".model", "gpt-4o"),
        (LABEL, ".model", "gpt-4o"),
        (PYTHON, "", "cannot confine"),
        (ALIKE | {"evaluation_metric": "cosine"}, "", "text-embedding-3-large"),
        (
            {"type": "multi", "graders": {"a": CHECK, "b": PYTHON}, "calculate_output": "a"},
            ".graders.b",
            "cannot confine",
        ),
    ],
)
def test_what_this_server_lacks_is_said_before_any_row_is_graded(tmp_path, document, path, reason):
    with pytest.raises(InvalidError, match=reason) as caught:
        check(normalise(document), MODELS, python_refused(tmp_path), at="testing_criteria[3]")
    assert caught.value.param == f"testing_criteria[3]{path}"


@pytest.mark.parametrize("document", [CHECK, ALIKE, multi("exact")])
def test_graders_without_a_model_lack_nothing(document):
    check(normalise(document), MODELS, no_python(), at="grader")
    assert build(normalise(document), MODELS, no_python().open()).type == document["type"]
