"""The system calls that a grader may make: rules as data, and the filter that the kernel runs for each call."""

import ctypes
import errno
from typing import NamedTuple

from .libc import check, libc
from .syscalls import AUDIT_ARCH, NUMBERS, X32_BIT, machine


class Argument(NamedTuple):
    """One argument of a call must be `value` where `mask` has bits."""

    place: int
    value: int
    mask: int = 0xFFFFFFFF
    """The kernel reads C ints and unsigned ints from the lower half alone; pointers and longs need all 64 bits."""


_ALL = 0xFFFFFFFFFFFFFFFF
_LOWER = 0xFFFFFFFF
_PTHREAD_FLAGS = 0x3D0F00
"""What glibc and musl pass to clone for a thread; a process has others."""

_O_ACCMODE, _O_WRONLY, _O_RDWR = 0o3, 0o1, 0o2
_O_TRUNC, _O_PATH, _O_ASYNC = 0o1000, 0o10000000, 0o20000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 1, 2, 3, 4, 1030
_TCGETS, _FIONBIO, _FIONCLEX, _FIOCLEX = 0x5401, 0x5421, 0x5450, 0x5451
_PR_SET_NAME, _PR_GET_NAME = 15, 16

Rule = tuple[tuple[Argument, ...], ...]
"""Alternatives: a call is allowed where all arguments of one of them fit."""


def _opening(flags: int) -> Rule:
    """Not by O_PATH, which Landlock ignores; no O_TRUNC on what is opened for reading (old Landlocks miss it)."""
    return (
        (Argument(flags, 0, _O_PATH | _O_TRUNC),),
        (Argument(flags, _O_TRUNC | _O_WRONLY, _O_PATH | _O_TRUNC | _O_ACCMODE),),
        (Argument(flags, _O_TRUNC | _O_RDWR, _O_PATH | _O_TRUNC | _O_ACCMODE),),
    )


def _one_of(place: int, *values: int) -> Rule:
    return tuple((Argument(place, value),) for value in values)


ALWAYS: Rule = ((),)

_HARMLESS = (
    # Those of every grade come first: the filter is read from its beginning.
    "read", "write", "futex", "mmap", "munmap", "brk", "madvise", "mremap", "mprotect", "clock_gettime",
    "lseek", "close", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
    "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "readlink", "readlinkat", "getdents64",
    "getcwd", "chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "ftruncate", "fallocate", "fadvise64", "fsync", "fdatasync", "dup", "dup2", "dup3", "umask",
    "msync", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
    "set_robust_list", "set_tid_address", "rseq", "gettid", "getpid", "getppid", "getpgrp", "getuid", "geteuid",
    "getgid", "getegid", "getresuid", "getresgid", "getgroups", "sched_yield", "sched_getaffinity", "getcpu",
    "nanosleep", "clock_nanosleep", "clock_getres", "gettimeofday", "time", "times", "getrusage", "getrlimit",
    "sysinfo", "uname", "getrandom", "exit", "exit_group", "poll", "ppoll", "select", "pselect6",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "getsockname", "shutdown",
)  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(_HARMLESS, ALWAYS),
    "open": _opening(1),
    "openat": _opening(2),
    "clone": ((Argument(0, _PTHREAD_FLAGS, _ALL),),),
    # F_SETOWN and F_SETSIG would send signals, locks pass messages, F_SETPIPE_SZ takes kernel memory.
    "fcntl": (
        *_one_of(1, _F_DUPFD, _F_DUPFD_CLOEXEC, _F_GETFD, _F_SETFD, _F_GETFL),
        (Argument(1, _F_SETFL), Argument(2, 0, _O_ASYNC)),
    ),
    "ioctl": _one_of(1, _TCGETS, _FIONBIO, _FIOCLEX, _FIONCLEX),
    "prctl": _one_of(0, _PR_SET_NAME, _PR_GET_NAME),
    "prlimit64": ((Argument(0, 0), Argument(2, 0, _ALL)),),
    # What asyncio wakes its loop with. An address would reach sockets of others.
    "socketpair": ((Argument(0, _AF_UNIX), Argument(1, _SOCK_STREAM, _SOCK_TYPE)),),
    "sendto": ((Argument(4, 0, _ALL),),),
    "recvfrom": ((Argument(4, 0, _ALL),),),
}
"""Everything else is answered with EPERM."""

UNKNOWN = ("clone3",)
"""Answered with ENOSYS, so that glibc takes clone, whose flags can be looked at."""

_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant: struct sock_filter."""


def build(name: str) -> list[Instruction]:
    """The filter for a machine: an allow-list by number, and by arguments where a rule has some.

    Calls of another architecture's ABI kill the process: their numbers mean something else.
    """
    numbers = NUMBERS[name]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, AUDIT_ARCH[name]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
    ]
    if name == "x86_64":
        program += [(_AT_LEAST, 0, 1, X32_BIT), (_RETURN, 0, 0, _KILL_PROCESS)]
    for call, rule in RULES.items():
        if call in numbers:
            block = [*_alternatives(rule)] if rule == ALWAYS else [*_alternatives(rule), refuse]
            program += [(_EQUAL, 0, len(block), numbers[call]), *block]
    for call in UNKNOWN:
        program += [(_EQUAL, 0, 1, numbers[call]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    return [*program, refuse]


def _alternatives(rule: Rule) -> list[Instruction]:
    program: list[Instruction] = []
    for arguments in rule:
        tests = [test for argument in arguments for test in _test(argument)]
        # Each comparison that fails jumps behind this alternative's RETURN.
        left = len(tests) + 1
        for place, (code, _, _, constant) in enumerate(tests):
            program.append((code, 0, left - place - 1 if code == _EQUAL else 0, constant))
        program.append((_RETURN, 0, 0, _ALLOW))
    return program


def _test(argument: Argument) -> list[Instruction]:
    """Load, mask, compare: the lower half of an argument, and the upper one where the mask reaches there."""
    halves = [(0, argument.value & _LOWER, argument.mask & _LOWER)]
    if argument.mask >> 32:
        halves.append((4, argument.value >> 32, argument.mask >> 32))
    test: list[Instruction] = []
    for offset, value, mask in halves:
        test.append((_LOAD, 0, 0, _ARGUMENTS + 8 * argument.place + offset))
        if mask != _LOWER:
            test.append((_AND, 0, 0, mask))
        test.append((_EQUAL, 0, 0, value))
    return test


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


class Filter:
    """The filter of this machine, built once and installed in each worker."""

    def __init__(self) -> None:
        program = build(machine())
        self._instructions = (_Instruction * len(program))(*(_Instruction(*each) for each in program))
        self._program = _Program(len(program), self._instructions)

    def install(self) -> None:
        """From here on this thread, and every one that it starts, is held to the rules; there is no way back."""
        set_seccomp, mode_filter = 22, 2
        check(libc.prctl(set_seccomp, mode_filter, ctypes.byref(self._program), 0, 0), "seccomp")
