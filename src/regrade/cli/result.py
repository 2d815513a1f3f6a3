"""What a finished run says: a table with intervals, two last lines, an object for programs, and the exit code."""

from typing import TYPE_CHECKING, Any

from regrade.cli.failures import ExitCode
from regrade.core.statistics import wilson
from regrade.types.json import JsonObject

if TYPE_CHECKING:
    from rich.console import Console


def exit_code(run: JsonObject, fail_under: float | None) -> ExitCode:
    """Whether the run met its gate: `fail_under` of all rows passed, or without it every row.

    A run of which no row could be graded met nothing.
    """
    counts = run["result_counts"]
    graded = counts["passed"] + counts["failed"]
    if run["status"] != "completed" or graded == 0:
        return ExitCode.UNFINISHED
    if fail_under is not None:
        met = counts["passed"] / counts["total"] >= fail_under  # 7 of 100 meet 0.07; 0.07 * 100 is above 7
    else:
        met = counts["failed"] == 0
        if met and counts["errored"]:
            return ExitCode.UNFINISHED
    return ExitCode.OK if met else ExitCode.GATE_NOT_MET


def summary(eval_: JsonObject, run: JsonObject, fail_under: float | None) -> JsonObject:
    """The result for programs."""
    counts = run["result_counts"]
    return {
        "event": "result",
        "eval_id": eval_["id"],
        "run_id": run["id"],
        "status": run["status"],
        "error": run["error"],
        **counts,
        **_rate(counts["passed"], counts["total"]),
        "criteria": _criteria(eval_, run),
        "fail_under": fail_under,
        "gate_met": exit_code(run, fail_under) == ExitCode.OK,
        "report_url": run["report_url"],
    }


def print_table(console: "Console", eval_: JsonObject, run: JsonObject) -> None:
    """One line a criterion, and one for the rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    counts = run["result_counts"]
    columns: list[tuple[str, list[str], str]] = [("Criterion", [], "All criteria")]
    criteria = _criteria(eval_, run)
    columns[0][1].extend(criterion["name"] for criterion in criteria)
    for title, key in (("Passed", "passed"), ("Failed", "failed"), ("Errored", "errored")):
        columns.append((title, [f"{criterion[key]:,}" for criterion in criteria], f"{counts[key]:,}"))
    whole = {**counts, **_rate(counts["passed"], counts["total"])}
    columns.append(
        ("Rate", [_percent(criterion["pass_rate"]) for criterion in criteria], _percent(whole["pass_rate"]))
    )
    columns.append(("95 % interval", [_interval(criterion) for criterion in criteria], _interval(whole)))
    for index, (title, _, footer) in enumerate(columns):
        table.add_column(title, footer=footer, justify="right" if index else "left", overflow="fold")
    for row in zip(*(cells for _, cells, _ in columns), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


def last_lines(run: JsonObject, note: str = "") -> list[str]:
    """The pass rate with its interval, and where the report is, with a note on that."""
    counts = run["result_counts"]
    whole = _rate(counts["passed"], counts["total"])
    rate = (
        f"{_percent(whole['pass_rate'])} ({counts['passed']:,} of {counts['total']:,} rows), "
        f"95 % interval {_interval(whole)}"
        if counts["total"]
        else "no row was graded"
    )
    return [f"Pass rate  {rate}", f"Report     {run['report_url']}{note}"]


def _criteria(eval_: JsonObject, run: JsonObject) -> list[JsonObject]:
    names = {criterion["id"]: criterion["name"] for criterion in eval_["testing_criteria"] if "id" in criterion}
    found = []
    for result in run["per_testing_criteria_results"] or []:
        passed, failed, errored = result["passed"], result["failed"], result.get("errored", 0)
        found.append(
            {
                "id": result["testing_criteria"],
                "name": names.get(result["testing_criteria"], result["testing_criteria"]),
                "passed": passed,
                "failed": failed,
                "errored": errored,
                **_rate(passed, passed + failed + errored),
            }
        )
    return found


def _rate(passed: int, total: int) -> dict[str, Any]:
    return {"pass_rate": passed / total if total else None, "interval": list(wilson(passed, total))}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _interval(rated: JsonObject) -> str:
    low, high = rated["interval"]
    return "-" if rated["pass_rate"] is None else f"{100 * low:.1f} to {100 * high:.1f} %"
