"""Graders that break, lie or never end: their row gets an error, and every other row of the batch its grade."""

import pytest

from sandbox.attacks.misbehaviour import (
    ENDINGS,
    ENDLESS,
    FORGERIES,
    HONEST,
    INTERFERING,
    SCORES,
    UNLOADABLE,
    VALUES,
    among_honest_rows,
)

ROWS = 6
EVIL = 3
SECONDS = 1.0
IN_THE_QUICK_FORM = {"loop", "huge_power", "floods_the_answers", "drips"}


def rows(evil: int | None = EVIL) -> list[dict]:
    return [{"n": n, "evil": n == evil} for n in range(ROWS)]


def assert_honest_rows_are_right(grades, evil=EVIL):
    wrong = {n: grade for n, grade in enumerate(grades) if n != evil and (grade.error or grade.value != n + 0.5)}
    assert not wrong


def assert_still_alive(jail):
    assert_honest_rows_are_right(jail.grade(HONEST, rows(None)), None)


def assert_runtime_error(grade):
    assert grade.error is not None
    assert grade.error.kind == "python_grader_runtime_error"
    assert grade.value == 0.0
    assert len(grade.error.message) < 4000


@pytest.fixture(params=[False, True], ids=["together", "each alone"])
def alone(request) -> bool:
    return request.param


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_grade_that_breaks_costs_its_own_row_alone(ending, alone, jail_here):
    grades = jail_here.grade(among_honest_rows(ENDINGS[ending]), rows(), alone=alone)
    assert_honest_rows_are_right(grades)
    assert_runtime_error(grades[EVIL])
    assert_still_alive(jail_here)


@pytest.mark.parametrize("value", VALUES)
def test_what_is_no_score_is_an_error(value, jail_here):
    grades = jail_here.grade(among_honest_rows(f"return {VALUES[value]}"), rows())
    assert_honest_rows_are_right(grades)
    assert_runtime_error(grades[EVIL])


@pytest.mark.parametrize("value", SCORES)
def test_what_is_a_number_is_a_score(value, jail_here):
    grades = jail_here.grade(f"def grade(sample, item):\n    return {value}", rows())
    assert [(grade.value, grade.error) for grade in grades] == [(SCORES[value], None)] * ROWS


@pytest.mark.parametrize("forgery", FORGERIES)
def test_bytes_of_its_own_between_the_answers_give_no_other_row_another_grade(forgery, alone, jail_here):
    """Rows in one process with the forger may be asked again; none gets a grade that its grader did not give."""
    grades = jail_here.grade(among_honest_rows(FORGERIES[forgery]), rows(), alone=alone)
    assert_honest_rows_are_right(grades)
    assert grades[EVIL].error is not None or grades[EVIL].value == EVIL + 0.5
    assert_still_alive(jail_here)


@pytest.mark.parametrize(
    "ending",
    [each if each in IN_THE_QUICK_FORM else pytest.param(each, marks=pytest.mark.long) for each in ENDLESS],
)
def test_a_grade_that_never_ends_is_ended(ending, alone, jail_here):
    grades = jail_here.grade(among_honest_rows(ENDLESS[ending]), rows(), alone=alone, timeout_s=SECONDS)
    assert_honest_rows_are_right(grades)
    assert_runtime_error(grades[EVIL])
    assert_still_alive(jail_here)


@pytest.mark.parametrize("interference", INTERFERING)
def test_a_row_that_runs_what_it_was_given_cannot_grade_others_where_each_is_alone(interference, jail_here):
    grades = jail_here.grade(among_honest_rows(INTERFERING[interference]), rows(), alone=True)
    assert_honest_rows_are_right(grades)
    assert_still_alive(jail_here)


def test_rows_in_one_process_share_what_the_grader_keeps(jail_here):
    """This is why `item` isolation exists: the grader's author may do it, a sample that is executed must not."""
    source = among_honest_rows(INTERFERING["keeps_state"])
    first, second = rows()[EVIL], rows()[0]
    later = jail_here.grade(source, [first, *[second] * 200])
    assert 999.0 in [grade.value for grade in later]


@pytest.mark.parametrize("source", UNLOADABLE)
def test_a_source_that_does_not_load_is_an_error_of_each_row(source, jail_here):
    for grade in jail_here.grade(UNLOADABLE[source], rows()[:3]):
        assert grade.error is not None
        assert grade.error.kind in {"python_grader_runtime_error", "python_grader_server_error"}
    assert_still_alive(jail_here)


def test_a_source_that_loads_for_ever_is_ended(jail_here):
    for grade in jail_here.grade("while True: pass\n" + HONEST, rows()[:3], load_timeout_s=SECONDS):
        assert_runtime_error(grade)
    assert_still_alive(jail_here)
