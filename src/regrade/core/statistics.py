"""How sure a pass rate is."""

from math import sqrt

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


def wilson(passed: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of `passed` out of `total`, within [0, 1]; (0, 1) where nothing was counted.

    Unlike the textbook interval it is honest for few rows and for rates at 0 and 1.
    """
    if not 0 <= passed <= total:
        raise ValueError(f"{passed} of {total} is not a share.")
    if total == 0:
        return 0.0, 1.0
    rate = passed / total
    weight = z * z / total
    centre = (rate + weight / 2) / (1 + weight)
    margin = z / (1 + weight) * sqrt(rate * (1 - rate) / total + weight / (4 * total))
    # At the ends the exact bounds are the rate itself; rounding must not put the rate outside its interval.
    low = 0.0 if passed == 0 else max(0.0, centre - margin)
    high = 1.0 if passed == total else min(1.0, centre + margin)
    return low, high
