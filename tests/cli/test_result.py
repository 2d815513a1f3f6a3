import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from regrade.cli import progress, result

EVAL = {"id": "eval_1", "testing_criteria": [{"id": "exact-1", "name": "exact"}]}


def run(passed=0, failed=0, errored=0, status="completed", **others):
    return {
        "id": "evalrun_1",
        "status": status,
        "error": None,
        "report_url": "http://127.0.0.1:8000/evals/eval_1/runs/evalrun_1",
        "result_counts": {
            "total": passed + failed + errored,
            "passed": passed,
            "failed": failed,
            "errored": errored,
        },
        "per_testing_criteria_results": [
            {"testing_criteria": "exact-1", "passed": passed, "failed": failed, "errored": errored}
        ],
        **others,
    }


@pytest.mark.parametrize(
    ("counts", "fail_under", "code"),
    [
        ((3, 0, 0), None, 0),
        ((3, 1, 0), None, 1),
        ((3, 1, 1), None, 1),
        ((3, 0, 1), None, 3),  # nothing is known to be wrong, and not everything could be graded
        ((0, 0, 2), None, 3),
        ((0, 0, 2), 0.0, 3),
        ((0, 0, 0), None, 3),
        ((0, 0, 0), 0.0, 3),
        ((3, 1, 0), 0.75, 0),
        ((3, 1, 0), 0.76, 1),
        ((3, 0, 1), 0.75, 0),  # errored rows count as rows that did not pass
        ((3, 0, 1), 0.8, 1),
    ],
)
def test_the_exit_code_says_whether_the_gate_was_met(counts, fail_under, code):
    assert result.exit_code(run(*counts), fail_under) == code


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_run_that_did_not_complete_could_not_finish(status):
    assert result.exit_code(run(3, 0, 0, status=status), 0.0) == 3


@given(st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(1, total), st.just(total))))
def test_a_share_is_met_by_exactly_that_many_rows(share):
    passed, total = share
    assert result.exit_code(run(passed, total - passed), passed / total) == 0
    assert result.exit_code(run(passed - 1, total - passed + 1), passed / total) == 1


def test_the_table_has_a_line_a_criterion_and_one_for_the_rows():
    console = Console(file=io.StringIO(), width=100)
    result.print_table(console, EVAL, run(7, 2, 1))
    lines = [line.split() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines[2] == ["exact", "7", "2", "1", "70.0", "%", "39.7", "to", "89.2", "%"]
    assert lines[-1] == ["All", "criteria", "7", "2", "1", "70.0", "%", "39.7", "to", "89.2", "%"]


def test_names_that_look_like_markup_are_printed_as_they_are():
    console = Console(file=io.StringIO(), width=100)
    result.print_table(console, {"id": "e", "testing_criteria": [{"id": "exact-1", "name": "[red]a[/]"}]}, run(1))
    assert "[red]a[/]" in console.file.getvalue()


def test_a_criterion_without_a_known_name_goes_by_its_id():
    summary = result.summary({"id": "eval_1", "testing_criteria": []}, run(1), None)
    assert [criterion["name"] for criterion in summary["criteria"]] == ["exact-1"]


def test_the_last_lines_are_the_rate_and_the_report():
    assert result.last_lines(run(1200, 300)) == [
        "Pass rate  80.0 % (1,200 of 1,500 rows), 95 % interval 77.9 to 81.9 %",
        "Report     http://127.0.0.1:8000/evals/eval_1/runs/evalrun_1",
    ]
    assert result.last_lines(run())[0] == "Pass rate  no row was graded"


def test_lines_for_a_log_come_at_every_tenth():
    console = Console(file=io.StringIO(), width=100)
    with progress.lines(console, 20) as watch:
        for done in range(21):
            watch(run(done, status="in_progress"))
    assert [line.split(" of ")[0] for line in console.file.getvalue().splitlines()] == [
        str(done) for done in range(2, 21, 2)
    ]
