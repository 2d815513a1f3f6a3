"""The store of a run's progress: who may write, what counts, and pages that hold still while rows arrive."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import open_database
from regrade.core.entities import Chunk, Eval, FinishedItem, PageRequest, Run
from regrade.core.errors import InvalidError
from regrade.core.results import CriterionTally, Tally, merged
from regrade.store.chunks import SqlChunks
from regrade.store.evals import SqlEvals
from regrade.store.output_items import SqlOutputItems
from regrade.store.runs import SqlRuns

NOW = 1_700_000_000
numbers = itertools.count()


@pytest.fixture(scope="module")
def database(new_database_url, tmp_path_factory):
    with open_database(new_database_url(), tmp_path_factory.mktemp("store") / "store.sqlite3") as database:
        yield database


class Progress:
    """One run in a store, and the shortest ways to move it."""

    def __init__(self, database, rows_of_chunks=(3,)):
        self.runs, self.chunks, self.items = SqlRuns(database), SqlChunks(database), SqlOutputItems(database)
        number = 16 * next(numbers)
        self.eval_id = f"eval_{number:032x}"
        criteria = [{"id": "exact-1", "name": "exact", "type": "string_check"}]
        SqlEvals(database).add(
            Eval(
                id=self.eval_id,
                project="p",
                name="",
                created_at=NOW,
                updated_at=NOW,
                data_source_config={},
                testing_criteria=criteria,
                metadata={},
            ),
            None,
        )
        run = Run(
            id=f"evalrun_{number:032x}",
            eval_id=self.eval_id,
            project="p",
            name="",
            status="queued",
            model=None,
            created_at=NOW,
            data_source={},
            metadata={},
        )
        self.run = self.runs.add(run, None)
        first_rows = itertools.accumulate(rows_of_chunks, initial=0)
        self.planned = [
            Chunk(run_number=self.run.number, k=k, first_row=first, rows=rows, first_line=1, start=0, stop=1)
            for k, (first, rows) in enumerate(zip(first_rows, rows_of_chunks, strict=False))
        ]

    def plan(self):
        return self.chunks.plan(
            self.run, self.planned, source_blob="files/a", tally=Tally.empty(["exact-1"]).as_json(), now=NOW
        )

    def write(self, claim, statuses, *, done=False):
        """Commit rows from the first undone one of the claimed chunk on."""
        tally = Tally.from_json(claim.tally)
        first = claim.chunk.first_row + len(claim.done_rows)
        items = [
            FinishedItem(first + n, status, NOW, b"[1.0]", b'{"n":%d}' % n) for n, status in enumerate(statuses)
        ]
        for status in statuses:
            tally.add(status)
            tally.criteria["exact-1"].add(None if status == "error" else 1.0, passed=status == "pass")
        return self.chunks.flush(claim, items, tally, done=done)

    def now(self):
        return self.runs.find(self.run.id)

    def page(self, **changes):
        wanted = {"after": None, "limit": 100, "order": "asc", "status": None} | changes
        return [row for row, _ in self.items.page(self.run, **wanted).data]


def test_a_run_is_planned_once(database):
    progress = Progress(database)
    assert progress.plan()
    assert not progress.plan()
    assert (progress.now().status, progress.now().rows) == ("in_progress", 3)


def test_counts_are_those_of_committed_rows_at_every_moment(database):
    progress = Progress(database, (3, 2))
    progress.plan()
    first, second = (progress.chunks.claim(progress.run, k, "worker_1") for k in (0, 1))
    assert progress.write(first, ["pass", "fail"])
    assert progress.write(second, ["error", "pass"], done=True)
    counts = progress.now().counts
    assert (counts.passed, counts.failed, counts.errored, counts.total) == (2, 1, 1, 4)
    assert progress.page() == [0, 1, 3, 4]


def test_a_lost_claim_writes_nothing(database):
    progress = Progress(database)
    progress.plan()
    lost = progress.chunks.claim(progress.run, 0, "worker_1")
    held = progress.chunks.claim(progress.run, 0, "worker_1")
    assert not progress.write(lost, ["pass", "pass"])
    assert progress.now().counts.total == 0
    assert progress.page() == []
    assert progress.write(held, ["fail"])


def test_a_new_claim_knows_what_is_done(database):
    progress = Progress(database)
    progress.plan()
    progress.write(progress.chunks.claim(progress.run, 0, "worker_1"), ["pass", "fail"])
    claim = progress.chunks.claim(progress.run, 0, "worker_1")
    assert claim.done_rows == {0, 1}
    assert progress.write(claim, ["pass"], done=True)
    assert progress.chunks.finish(progress.run, now=NOW)
    run = progress.now()
    assert (run.status, run.counts.passed, run.counts.failed) == ("completed", 2, 1)
    assert run.criteria["exact-1"].passed == 2


def test_a_run_with_a_chunk_to_do_is_not_finished(database):
    progress = Progress(database, (1, 1))
    progress.plan()
    progress.write(progress.chunks.claim(progress.run, 0, "worker_1"), ["pass"], done=True)
    assert not progress.chunks.finish(progress.run, now=NOW)
    assert progress.chunks.undone(progress.run) == [1]


def test_a_run_without_a_gradable_row_fails_and_says_why(database):
    progress = Progress(database, (1,))
    progress.plan()
    claim = progress.chunks.claim(progress.run, 0, "worker_1")
    tally = Tally.from_json(claim.tally)
    tally.add("error")
    tally.first_error = "Line 1: no."
    progress.chunks.flush(claim, [FinishedItem(0, "error", NOW, b"[null]", b"{}")], tally, done=True)
    progress.chunks.finish(progress.run, now=NOW)
    assert progress.now().status == "failed"
    assert progress.now().error["message"].endswith("Line 1: no.")


def test_nobody_writes_to_a_canceled_run(database):
    progress = Progress(database)
    progress.plan()
    claim = progress.chunks.claim(progress.run, 0, "worker_1")
    progress.write(claim, ["pass"])
    progress.runs.cancel(progress.run, now=NOW)
    assert not progress.write(claim, ["pass"])
    assert progress.chunks.claim(progress.run, 0, "worker_1") is None
    assert (progress.now().status, progress.now().counts.total) == ("canceled", 1)
    assert progress.page() == [0]


@pytest.mark.parametrize("end", ["cancel", "fail", "finish"])
def test_an_ended_run_never_moves_again(database, end):
    progress = Progress(database)
    progress.plan()
    progress.write(progress.chunks.claim(progress.run, 0, "worker_1"), ["pass", "pass", "pass"], done=True)
    ways = {
        "cancel": lambda: progress.runs.cancel(progress.run, now=NOW),
        "fail": lambda: progress.runs.fail(progress.run, {"code": "x", "message": "y"}, now=NOW),
        "finish": lambda: progress.chunks.finish(progress.run, now=NOW),
    }
    ways[end]()
    ended = progress.now()
    for way in ways.values():
        way()
    assert not progress.plan()
    assert progress.now() == ended


STEPS = ["plan", "claim", "write", "write the last", "finish", "cancel", "fail"]
AFTER = {
    "queued": {"queued", "in_progress", "canceled", "failed"},
    "in_progress": {"in_progress", "completed", "canceled", "failed"},
    **{ended: {ended} for ended in ("completed", "canceled", "failed")},
}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=10))
def test_whatever_happens_a_run_moves_forward_and_counts_its_rows(database, steps):
    progress = Progress(database, (40,))
    claim, status = None, "queued"
    for step in steps:
        match step:
            case "plan":
                progress.plan()
            case "claim":
                claim = progress.chunks.claim(progress.run, 0, "worker_1") or claim
            case "write" if claim:
                claim = progress.chunks.claim(progress.run, 0, "worker_1") or claim
                progress.write(claim, ["pass", "fail"])
            case "write the last" if claim:
                claim = progress.chunks.claim(progress.run, 0, "worker_1") or claim
                progress.write(claim, ["pass"], done=True)
            case "finish":
                progress.chunks.finish(progress.run, now=NOW)
            case "cancel":
                progress.runs.cancel(progress.run, now=NOW)
            case "fail":
                progress.runs.fail(progress.run, {"code": "x", "message": "y"}, now=NOW)
        run = progress.now()
        assert run.status in AFTER[status]
        assert run.counts.total == len(progress.page())
        status = run.status


def test_a_deleted_run_is_gone_at_once_and_its_items_soon(database):
    progress = Progress(database)
    progress.plan()
    progress.write(progress.chunks.claim(progress.run, 0, "worker_1"), ["pass", "fail", "pass"])
    progress.runs.delete(progress.run, now=NOW)
    assert progress.now() is None
    progress.runs.sweep(now=NOW, limit=2)
    assert progress.page() == [2]
    progress.runs.sweep(now=NOW, limit=2)
    assert progress.page() == []


def test_a_deleted_run_still_serves_as_a_cursor(database):
    progress = Progress(database)
    other = progress.runs.add(replace(progress.run, id=progress.run.id[:-1] + "f", number=0), None)
    progress.runs.delete(progress.run, now=NOW)
    page = progress.runs.page("p", progress.eval_id, PageRequest(after=progress.run.id), status=None)
    assert [run.id for run in page.data] == [other.id]


def test_a_cursor_of_another_eval_is_refused(database):
    one, other = Progress(database), Progress(database)
    with pytest.raises(InvalidError):
        one.runs.page("p", one.eval_id, PageRequest(after=other.run.id), status=None)


statuses = st.sampled_from(["pass", "fail", "error"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    batches=st.lists(st.tuples(st.integers(0, 2), st.lists(statuses, min_size=1, max_size=4)), max_size=8),
    limit=st.integers(1, 3),
    wanted=st.none() | statuses,
)
def test_paging_while_rows_arrive_repeats_nothing_and_misses_nothing_old(database, batches, limit, wanted):
    progress = Progress(database, (40, 40, 40))
    progress.plan()
    claims = {}
    arriving = iter(batches)

    def arrive():
        k, rows = next(arriving, (None, []))
        if rows:
            claims[k] = progress.chunks.claim(progress.run, k, "worker_1")
            progress.write(claims[k], rows)

    arrive()
    before = progress.page(status=wanted)
    seen, after = [], None
    while page := progress.page(after=after, limit=limit, status=wanted):
        seen += page
        after = page[-1]
        arrive()
    assert seen == sorted(set(seen))
    assert set(before) <= set(seen)


scores = st.floats(0, 1, allow_nan=False).map(lambda score: round(score, 3))
grades = st.lists(st.tuples(statuses, scores), max_size=12)


def tally_of(rows):
    tally = Tally.empty(["a"])
    for status, score in rows:
        tally.add(status)
        tally.criteria["a"].add(None if status == "error" else score, passed=status == "pass")
    return tally


@given(st.lists(grades, max_size=4))
def test_merging_tallies_is_tallying_everything(parts):
    whole = tally_of([row for part in parts for row in part])
    total = merged((tally_of(part).as_json() for part in parts), ["a"])
    assert total.counts == whole.counts
    assert total.criteria["a"].histogram == whole.criteria["a"].histogram
    assert total.criteria["a"].graded == whole.criteria["a"].graded
    assert total.criteria["a"].total_score == pytest.approx(whole.criteria["a"].total_score)


@given(grades)
def test_a_tally_survives_being_stored(rows):
    tally = tally_of(rows)
    assert Tally.from_json(tally.as_json()) == tally


@given(st.lists(st.floats(-1e300, 1e300), max_size=300))
def test_a_histogram_stays_small_whatever_the_scores(values):
    tally = CriterionTally()
    for value in values:
        tally.add(value, passed=True)
    assert sum(tally.histogram.values()) == len(values)
    assert all(len(bucket) <= 12 for bucket in tally.histogram)
