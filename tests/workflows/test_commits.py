"""Commits: what is counted is what is written, also where a database is away in between."""

import asyncio
from types import SimpleNamespace

from regrade.core.errors import UnavailableError
from regrade.core.metrics import Metrics
from regrade.core.results import Tally
from regrade.workflows import persistence
from regrade.workflows.commits import Commits


async def never():
    return False


def test_rows_that_end_while_the_database_is_away_are_written_with_the_counts_that_hold_them(monkeypatch):
    monkeypatch.setattr(persistence, "_AWAY_PAUSE_SECONDS", 0)
    finished, tally, written = [], Tally(), []

    def finish(row):
        tally.add("pass")
        finished.append(row)

    def flush(claim, items, tally, *, done, waiting):
        if tally.passed == 1:
            asyncio.get_running_loop().call_soon(finish, "b")
            raise UnavailableError("The database is away.")
        written.append((list(items), tally.passed))
        return True

    claim = SimpleNamespace(chunk=SimpleNamespace(k=0, run_number=1))
    chunks = SimpleNamespace(flush=flush)
    commits = Commits(
        claim, SimpleNamespace(asks_models=False, tally=tally), chunks, None, SimpleNamespace(hold=never), Metrics()
    )
    finish("a")
    assert asyncio.run(commits.commit(finished))
    assert written == [(["a", "b"], 2)]
    assert finished == []
