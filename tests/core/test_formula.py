"""The formula language: Python's arithmetic on floats, and nothing that can run away."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.formula import MAX_LENGTH, FormulaError, FormulaValueError, compile_formula

NAMES = ("a", "b", "similarity_score")
# Of a size that twelve of them cannot leave the floats, which Python would not notice.
quarters = st.integers(-40, 40).map(lambda n: n / 4)
scores = st.fixed_dictionaries(dict.fromkeys(NAMES, quarters))

# Formulas as (ours, Python's) texts.
numbers = st.one_of(st.integers(0, 9).map(str), st.floats(0.001, 10).map(repr)).map(
    lambda text: (text, f"float({text})")
)
leaves = st.one_of(numbers, st.sampled_from(NAMES).map(lambda name: (name, name)))


def combined(inner):
    both = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(both, st.sampled_from("+-*/")).map(
            lambda parts: tuple(f"{left} {parts[1]} {right}" for left, right in zip(*parts[0], strict=True))
        ),
        inner.map(lambda pair: tuple(f"({text})" for text in pair)),
        inner.map(lambda pair: tuple(f"-{text}" for text in pair)),
        inner.map(lambda pair: tuple(f"abs({text})" for text in pair)),
        st.tuples(leaves, leaves).map(
            lambda pair: (f"{pair[0][0]} ^ {pair[1][0]}", f"power({pair[0][1]}, {pair[1][1]})")
        ),
        both.map(lambda pair: tuple(f"max({left}, {right})" for left, right in zip(*pair, strict=True))),
        both.map(lambda pair: tuple(f"min({left}, {right})" for left, right in zip(*pair, strict=True))),
    )


formulas = st.recursive(leaves, combined, max_leaves=12)


def value(formula, **scores):
    return compile_formula(formula, scores).value(scores)


@given(formulas, scores)
def test_a_formula_has_the_value_that_python_gives_it(formula, scores):
    ours, pythons = formula
    functions = {"abs": abs, "max": max, "min": min, "float": float, "power": math.pow}
    try:
        expected = eval(pythons, {"__builtins__": {}}, functions | scores)
    except (ZeroDivisionError, OverflowError, ValueError):
        with pytest.raises(FormulaValueError):
            compile_formula(ours, NAMES).value(scores)
    else:
        assert compile_formula(ours, NAMES).value(scores) == pytest.approx(expected)


def outcome(text, scores):
    try:
        return compile_formula(text, NAMES, at="calculate_output").value(scores)
    except (FormulaError, FormulaValueError) as error:
        return error


@given(st.text(alphabet="ab01.e+-*/^(), minaxlogsqrt", max_size=40), scores)
def test_any_text_has_a_value_or_a_reason_why_not(text, scores):
    match outcome(text, scores):
        case FormulaError() as error:
            assert error.param == "calculate_output"
        case FormulaValueError() as error:
            assert text in error.message
        case value:
            assert type(value) is float
            assert math.isfinite(value)


@given(st.text())
def test_no_text_breaks_the_parser(text):
    result = outcome(text, dict.fromkeys(NAMES, 1.0))
    assert isinstance(result, float) or result.message.endswith(".")


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("0.5 * a + 0.5 * b", 0.75),
        ("a", 1.0),
        ("-a ^ 2", -1.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("2 ** -1", 0.5),
        ("(a - b) * 4", 2.0),
        ("8 / 2 / 2", 2.0),
        ("1 - 2 - 3", -4.0),
        ("min(a, b, 0.1)", 0.1),
        ("max(a)", 1.0),
        ("abs(-2.5)", 2.5),
        ("floor(2.7) + ceil(2.1)", 5.0),
        ("exp(0)", 1.0),
        ("sqrt(16)", 4.0),
        ("log(exp(1))", 1.0),
        (".5 + 5. + 1e1 + 1E-1", 15.6),
        ("--a", 1.0),
        ("+a", 1.0),
        (" ( a ) ", 1.0),
        ("7 / 2", 3.5),
    ],
)
def test_formulas_mean_what_they_mean_in_mathematics(formula, expected):
    assert value(formula, a=1.0, b=0.5) == pytest.approx(expected)


def test_a_grader_may_be_called_like_a_function():
    assert value("min + min(min, 2)", min=1.0) == 2.0


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("", "it ends too early"),
        ("a +", "it ends too early"),
        ("c", "there is no grader called 'c'; the graders are: a, b"),
        ("similarity-score", "there is no grader called 'similarity'"),
        ("a b", "'b' is not expected there"),
        ("(a", "a ')' is missing"),
        ("a)", "')' is not expected there"),
        ("eval(a)", "there is no function 'eval'"),
        ("abs(a, b)", "'abs' takes one argument, not 2"),
        ("min()", "')' is not expected there"),
        ("a % b", "'%' is not part of the language"),
        ("a.__class__", "'.' is not part of the language"),
        ("1e999", "the number 1e999 is too large"),
        ("(" * 1000 + "a" + ")" * 1000, "nested more than"),
        ("-" * 1000 + "a", "nested more than"),
        ("a^" * 1000 + "a", "nested more than"),
        ("a" * (MAX_LENGTH + 1), "at most"),
    ],
)
def test_a_formula_that_does_not_parse_is_refused_with_the_reason(formula, reason):
    with pytest.raises(FormulaError) as caught:
        compile_formula(formula, ["a", "b"], at="grader.calculate_output")
    assert reason in caught.value.message
    assert caught.value.param == "grader.calculate_output"


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("1 / (a - a)", "it divides by zero"),
        ("9^9^9", "a value in it is too large"),
        ("1e308 * 10", "a value in it is too large"),
        ("min(1, 1e308 + 1e308)", "a value in it is too large"),
        ("exp(1000)", "a value in it is too large"),
        ("sqrt(-a)", "no value there"),
        ("log(0)", "no value there"),
        ("(-8) ^ 0.5", "no value there"),
        ("0 ^ -1", "no value there"),
    ],
)
def test_a_formula_without_a_value_is_an_error_of_the_row(formula, reason):
    with pytest.raises(FormulaValueError, match=reason):
        value(formula, a=1.0)


def test_a_long_chain_needs_no_deep_stack():
    assert value("+".join(["a"] * 2000), a=1.0) == 2000.0
    assert value("*".join(["a"] * 2000), a=1.0) == 1.0
