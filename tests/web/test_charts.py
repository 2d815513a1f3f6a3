"""Charts show the numbers that they are given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.results import Counts, bucket_of
from regrade.web import charts

SIMILAR = {"type": "text_similarity", "pass_threshold": 0.7}
EXACT = {"type": "string_check"}
SEVEN = {"type": "score_model", "range": [1, 7], "pass_threshold": 4}

numbers = st.integers(0, 10**6)


def heights(chart, kind):
    return [rect.height for rect in chart.rects if rect.kind == kind]


@given(numbers, numbers, numbers, numbers)
def test_a_stacked_bar_is_split_as_the_rows_are(passed, failed, errored, more):
    counts = Counts(passed=passed, failed=failed, errored=errored)
    rows = counts.total + more
    chart = charts.stacked_bar(counts, rows)
    shares = [rect.width / chart.width * rows for rect in chart.rects]
    assert shares == pytest.approx([passed, failed, errored], abs=1e-6 * max(rows, 1))
    ends = [rect.x + rect.width for rect in chart.rects]
    assert [rect.x for rect in chart.rects] == pytest.approx([0, *ends[:-1]])


@given(numbers, numbers)
def test_an_interval_lies_around_its_rate_and_inside_its_bar(passed, failed):
    total = passed + failed
    chart = charts.interval_bar(passed, total)
    if not total:
        assert chart.rules == []
        return
    rate = chart.rects[1].width
    across, left, right = chart.rules
    assert rate == pytest.approx(chart.width * passed / total)
    assert 0 < left.x <= right.x < chart.width
    assert (across.x, across.to_x) == (left.x, right.x)
    assert left.x - 0.51 <= rate <= right.x + 0.51


def test_a_binary_grader_has_two_bars():
    chart = charts.histogram(EXACT, {"0.00": 10, "1.00": 40})
    failed, passed = chart.rects
    assert (failed.kind, passed.kind) == ("fail", "pass")
    assert failed.height == pytest.approx(passed.height / 4)
    assert chart.rules[0].x == pytest.approx(chart.width / 2)


def test_a_scale_of_seven_has_seven_bars():
    chart = charts.histogram(SEVEN, {f"{score}.00": score for score in range(1, 8)})
    assert len(chart.rects) == 7
    assert [rect.kind for rect in chart.rects] == ["fail"] * 3 + ["pass"] * 4
    assert [label.text for label in chart.labels] == ["1", "7"]


def test_a_criterion_without_a_threshold_judges_nothing():
    chart = charts.histogram({"type": "python"}, {"0.30": 1, "0.90": 2})
    assert {rect.kind for rect in chart.rects} == {"plain"}
    assert chart.rules == []


def test_a_judge_without_a_threshold_passes_from_the_middle_of_its_range():
    chart = charts.histogram({"type": "score_model", "range": [0, 10]}, {"4.00": 1, "5.00": 2})
    assert {rect.kind for rect in chart.rects} == {"fail", "pass"}
    assert charts.pass_threshold({"type": "score_model"}) == 0.5


def test_no_scores_are_no_chart():
    assert charts.histogram(EXACT, {}) is None


@given(
    st.sampled_from([SIMILAR, EXACT, SEVEN, {"type": "python"}, {"type": "multi", "pass_threshold": -3}]),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
)
def test_every_score_is_in_the_picture(criterion, scores):
    buckets = {}
    for score in scores:
        buckets[bucket_of(score)] = buckets.get(bucket_of(score), 0) + 1
    chart = charts.histogram(criterion, buckets)
    assert f"Scores of {len(scores):,} rows" in chart.said
    # A bar is at least one unit high, so that the tallest can be a unit too high where both parts are in it.
    assert all(rect.y >= -1 and rect.y + rect.height <= chart.height for rect in chart.rects)
    assert all(rect.x >= 0 and rect.x + rect.width <= chart.width for rect in chart.rects)
    threshold = charts.pass_threshold(criterion)
    passing = "plain" if threshold is None else "pass"
    rounded = [float(bucket_of(score)) for score in scores]
    assert bool(heights(chart, "fail")) == (threshold is not None and any(each < threshold for each in rounded))
    assert bool(heights(chart, passing)) == (threshold is None or any(each >= threshold for each in rounded))
