"""What is undone by PostgreSQL, by conflict or by outage, and the repeats that help."""

import time
from collections.abc import Callable
from functools import wraps
from inspect import isfunction, isgeneratorfunction
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from regrade.core.errors import UnavailableError

_PAUSES_S = (0.01, 0.1, 0.5)
# Serialization failures and deadlocks; then, by the beginning of their codes: connections that fail, servers that
# start or stop, sessions ended for idling, a lack of connections or memory, a standby.
_UNDONE = ("40001", "40P01", "08", "57P", "25P03", "53", "25006")

T = TypeVar("T")


class UndoneError(UnavailableError):
    """The database kept nothing of a transaction; the same one may well succeed now."""


class UnknownOutcomeError(UnavailableError):
    """The connection was lost in the middle of a commit: only looking tells whether it happened."""


def outage(error: DBAPIError | PoolTimeoutError, *, committing: bool) -> UnavailableError | None:
    """What the error says of a transaction on PostgreSQL; None where repeating it would not help."""
    if isinstance(error, PoolTimeoutError):
        return UndoneError("The server is busy: no connection to its database became free in time. Try again.")
    state: str | None = getattr(error.orig, "sqlstate", None)
    lost = error.connection_invalidated or (state is None and isinstance(error, OperationalError))
    if committing and lost:
        return UnknownOutcomeError(
            "The connection to the database was lost while this was being kept: look before you repeat it."
        )
    if lost or (state is not None and state.startswith(_UNDONE)):
        return UndoneError("The database cannot be used at the moment, and nothing of this was kept. Try again.")
    return None


def repeats_undone(store: type[T]) -> type[T]:
    """Class decorator: each method is one transaction, and runs again where that was undone."""
    for name, method in vars(store).copy().items():
        if isfunction(method) and not isgeneratorfunction(method) and not name.startswith("_"):
            setattr(store, name, _repeated(method))
    return store


def _repeated(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def repeated(*args: Any, **kwargs: Any) -> Any:
        for pause in _PAUSES_S:
            try:
                return method(*args, **kwargs)
            except UndoneError:
                time.sleep(pause)
        return method(*args, **kwargs)

    return repeated
