"""The C library, and errors that name the step that failed."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def check(result: int, step: str) -> int:
    """The result of a call of libc. Raises OSError, which names the step, where it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step)
    return result


def prctl(option: int, value: int, step: str) -> None:
    """Set one attribute of this process."""
    check(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), step)
