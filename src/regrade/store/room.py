"""What a full disk is called, whoever meets it: SQL or a file."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from regrade.core.errors import NoRoomError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PRIMARY_CODE = 0xFF  # SQLite's codes say more in their higher bits
_FULL_STATE = "53100"  # PostgreSQL's disk_full


@contextmanager
def needing_room() -> Iterator[None]:
    """Writing, which a full disk ends with a NoRoomError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room() from error
        raise
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_FULL:
            raise _no_room() from error
        if getattr(error.orig, "sqlstate", None) == _FULL_STATE:
            raise NoRoomError(
                "The disk of the database is full: nothing of this was kept. Make room, then try again."
            ) from error
        raise


def _no_room() -> NoRoomError:
    return NoRoomError(
        "The disk of this server's data directory is full: nothing of this was kept. Make room, then try again."
    )
