"""The refusal to score texts that would take too long."""

from regrade.core.errors import RowError


def at_most(limit: int, amount: int, metric: str, unit: str) -> None:
    """Raises RowError where there is more of `unit` than `metric` scores in bounded time."""
    if amount > limit:
        raise RowError(
            f"The texts are too long for {metric}: they have {amount:,} {unit}, and at most {limit:,} are scored."
        )
