"""Documents of strangers: what does not have the promised shape is an error that says so, not a failure of ours."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from regrade.core.errors import RegradeError

P = ParamSpec("P")
T = TypeVar("T")


def refusing(error: type[RegradeError], message: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Raise `error` where a document lacks the shape that a translation walks along."""

    def guard(translate: Callable[P, T]) -> Callable[P, T]:
        @wraps(translate)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return translate(*args, **kwargs)
            except (AttributeError, KeyError, TypeError, ValueError, IndexError) as fault:
                raise error(message) from fault

        return guarded

    return guard
