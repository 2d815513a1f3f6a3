"""Landlock: from here on this process opens only files below the paths that it is given."""

import ctypes
import os
from collections.abc import Iterable

from .libc import check, libc
from .syscalls import number

_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = (
    1 << 4,
    1 << 5,
    1 << 7,
    1 << 8,
    1 << 13,
    1 << 14,
)
_READ = _READ_FILE | _READ_DIR
_SCRATCH = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_ON_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
_GET_VERSION = 1
_PATH_BENEATH = 1
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_FIRST_WITH_NETWORK, _FIRST_WITH_SCOPES = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock ABI. Raises OSError where it has none, or does not use it."""
    found = libc.syscall(number("landlock_create_ruleset"), None, 0, _GET_VERSION)
    return check(found, "landlock")


def _all_file_rights(abi: int) -> int:
    """Every right that this kernel can take away: what is handled and not given is forbidden."""
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    return (1 << bits) - 1


def restrict(readable: Iterable[str], scratch: str | None) -> None:
    """Leave this thread only `readable` paths for reading and `scratch` for anything; TCP not at all.

    Needs no_new_privs. Paths that do not exist are left out.
    """
    abi = version()
    handled = _all_file_rights(abi)
    attributes = _Ruleset(handled, _BIND_AND_CONNECT_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 24 if abi >= _FIRST_WITH_SCOPES else 16 if abi >= _FIRST_WITH_NETWORK else 8
    ruleset = check(
        libc.syscall(number("landlock_create_ruleset"), ctypes.byref(attributes), size, 0), "landlock ruleset"
    )
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        if scratch is not None:
            _allow(ruleset, scratch, _SCRATCH & handled)
        _allow(ruleset, "/dev/null", (_READ_FILE | _WRITE_FILE) & handled)
        check(libc.syscall(number("landlock_restrict_self"), ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = access if os.path.isdir(path) else access & _ON_FILES
        rule = _PathBeneath(rights, opened)
        check(
            libc.syscall(number("landlock_add_rule"), ruleset, _PATH_BENEATH, ctypes.byref(rule), 0),
            f"landlock rule for {path}",
        )
    finally:
        os.close(opened)
