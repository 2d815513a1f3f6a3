"""Numbers, times and lists in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.web import words
from regrade.web.paging import window


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, words.NOTHING),
        (0, "< 1 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (401, "6 min 41 s"),
        (7384, "2 h 3 min"),
    ],
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (None, words.NOTHING),
        (0, "0.000"),
        (0.43478, "0.435"),
        (7.0, "7.000"),
        (-12, "-12"),
        (1234567.8, "1.23457e+06"),
    ],
)
def test_scores(score, said):
    assert words.score(score) == said


def test_a_moment_is_told_in_utc():
    assert words.moment(1795370520) == "22 Nov 2026, 18:02 UTC"


@given(st.text(max_size=200), st.integers(2, 50))
def test_clipping_keeps_one_short_line(text, limit):
    line = words.clipped(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    if len(text) <= limit:
        assert line == " ".join(text.split())


@given(st.integers(0, 40), st.integers(1, 7), st.sampled_from(["asc", "desc"]))
def test_windows_walk_a_list_there_and_back(length, size, order):
    listed = [str(index) for index in range(length)]

    def fetch(wanted, cursor):
        ahead = listed if wanted == order else listed[::-1]
        rest = ahead[ahead.index(cursor) + 1 :] if cursor is not None else ahead
        return rest[:size], len(rest) > size

    there = [window(fetch, order, after=None, before=None)]
    assert not there[0].earlier
    while there[-1].later:
        there.append(window(fetch, order, after=there[-1].rows[-1], before=None))
    assert [row for each in there for row in each.rows] == listed
    back = there[-1:]
    while back[-1].earlier:
        back.append(window(fetch, order, after=None, before=back[-1].rows[0]))
    assert [each.rows for each in back] == [each.rows for each in reversed(there)]
