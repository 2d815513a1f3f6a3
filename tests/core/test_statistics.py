import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.statistics import wilson

shares = st.integers(1, 10**7).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(passed, total, low, high):
    assert wilson(passed, total) == pytest.approx((low, high), abs=5e-5)


@given(shares)
def test_the_rate_lies_in_its_interval_and_the_interval_in_zero_to_one(share):
    passed, total = share
    low, high = wilson(passed, total)
    assert 0 <= low <= passed / total <= high <= 1


@given(shares)
def test_counting_failures_instead_mirrors_the_interval(share):
    passed, total = share
    low, high = wilson(passed, total)
    mirrored_low, mirrored_high = wilson(total - passed, total)
    assert math.isclose(low, 1 - mirrored_high, abs_tol=1e-9)
    assert math.isclose(high, 1 - mirrored_low, abs_tol=1e-9)


@given(shares)
def test_the_bounds_solve_the_equation_that_defines_them(share):
    passed, total = share
    rate = passed / total
    for bound in wilson(passed, total):
        if 0 < bound < 1:
            distance = abs(rate - bound) / math.sqrt(bound * (1 - bound) / total)
            assert distance == pytest.approx(1.959963984540054, rel=1e-6)


def test_nothing_counted_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("passed", "total"), [(-1, 3), (4, 3), (1, 0)])
def test_a_count_that_is_no_share_is_refused(passed, total):
    with pytest.raises(ValueError, match="is not a share"):
        wilson(passed, total)
