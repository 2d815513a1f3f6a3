"""A person sees how far a walk is: a bar in a terminal, plain lines in a log."""

import io

import pytest
from rich.console import Console

from dump.hosted import HostedApi, account, error
from dump.saving import save
from regrade.dump.progress import show_skips, watching


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    with HostedApi(account(evals=1)) as api:
        return save(api, tmp_path_factory.mktemp("progress") / "dump")


def shown(plan, *, terminal):
    text = io.StringIO()
    with watching(Console(file=text, force_terminal=terminal, color_system=None, width=120)) as watch:
        watch(plan)
    return text.getvalue()


def test_a_terminal_sees_a_bar_with_the_rate_and_the_time_that_remains(plan):
    bar = shown(plan, terminal=True)
    assert f"{plan.answered}/{plan.requests} requests" in bar
    assert "/s" in bar
    assert "0:00" in bar


def test_a_log_gets_plain_lines(plan):
    assert shown(plan, terminal=False).startswith(f"{plan.answered} of {plan.requests} requests, ")


def test_at_the_end_of_a_walk_all_its_requests_are_behind_it(plan):
    assert plan.answered == plan.requests > 20
    assert not list(plan.open())


def test_a_long_list_of_skips_is_cut(plan, tmp_path):
    with HostedApi(account(evals=60, items=1)) as api:
        api.fault = lambda request, number: error(410, "Gone.") if request.path.endswith("/runs") else None
        skips = save(api, tmp_path / "dump").skipped()
    text = io.StringIO()
    show_skips(Console(file=text, width=200), skips)
    assert "... and 11 more" in text.getvalue()
