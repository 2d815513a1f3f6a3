"""What the filter of the jail is meant to let through, written down a second time and from the design alone.

The product has its own tables; these never come from there. A difference is either a hole or a decision, and the
decision is then written down in both places.
"""

import errno
from dataclasses import dataclass

from sandbox.bpf import ERRNO

REFUSED = ERRNO | errno.EPERM
MISSING = ERRNO | errno.ENOSYS

_FILES = """
    read write readv writev pread64 pwrite64 preadv pwritev close lseek
    stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64 getcwd chdir fchdir
    mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 ftruncate fsync fdatasync fallocate umask
    dup dup2 dup3 fadvise64
"""
"""Landlock and the mount tree say which files; what only touches an open file or a path they cover may pass.

Not chmod, chown, utimes, links, xattrs, truncate by path: no Landlock (or no old one) looks at them. No locks: they
would pass messages between graders over the files that all may read. No mincore: it tells what others have read.
"""

_WAITING = """
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait getsockname shutdown
    nanosleep clock_nanosleep futex sched_yield restart_syscall
"""
"""asyncio and threads."""

_MEMORY = "mmap munmap mprotect mremap madvise msync brk"
_THREADS = "set_robust_list set_tid_address rseq gettid exit exit_group sched_getaffinity getcpu"
_SIGNALS = "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack"
"""Handlers of its own; nothing that sends one."""

_FACTS = """
    getpid getppid getpgrp getuid geteuid getgid getegid getresuid getresgid getgroups
    getrlimit getrusage times sysinfo uname getrandom clock_gettime clock_getres gettimeofday time
"""

ALLOWED = frozenset(" ".join([_FILES, _WAITING, _MEMORY, _THREADS, _SIGNALS, _FACTS]).split())
"""Calls that pass whatever their arguments are."""

THREAD = 0x3D0F00
"""The flags with which glibc makes a thread, and no others."""
FORK = 0x01200011
"""Those with which it forks."""
HIGH = 1 << 32
"""A bit that the kernel ignores in an `int`, and does not in a pointer."""
POINTER = 0x7F00_0000_1000


@dataclass(frozen=True, slots=True)
class Rule:
    """A call that passes with some arguments only."""

    position: int
    """Which argument decides."""
    passes: frozenset[int]
    refused: frozenset[int]
    """Values that are surely in the test, beside the neighbours of those that pass."""
    others: tuple[int, ...] = (0,) * 6
    """The other arguments meanwhile."""
    pointer: bool = False
    """Whether all 64 bits count."""
    exact: bool = True
    """Whether every other value is refused: not so where an argument is a set of flags and few of them matter."""


FCNTL = {
    "F_DUPFD": 0, "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "F_DUPFD_CLOEXEC": 1030,
}  # fmt: skip
IOCTL = {"TCGETS": 0x5401, "FIOCLEX": 0x5451, "FIONCLEX": 0x5450, "FIONBIO": 0x5421}
PRCTL = {"PR_SET_NAME": 15, "PR_GET_NAME": 16}
SOCKETS = {"SOCK_STREAM": 1, "SOCK_NONBLOCK": 0o4000, "SOCK_CLOEXEC": 0o2000000}
_STREAMS = frozenset(
    SOCKETS["SOCK_STREAM"] | blocking | inherited
    for blocking in (0, SOCKETS["SOCK_NONBLOCK"])
    for inherited in (0, SOCKETS["SOCK_CLOEXEC"])
)
_NULL_ONLY = {"passes": frozenset({0}), "refused": frozenset({1, POINTER, HIGH, 1 << 63}), "pointer": True}

O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC = 0o1, 0o2, 0o100, 0o200, 0o1000
O_APPEND, O_NONBLOCK, O_ASYNC, O_CLOEXEC, O_PATH = 0o2000, 0o4000, 0o20000, 0o2000000, 0o10000000
O_DIRECT = 0o40000
_READING = frozenset({0, O_CLOEXEC, O_CLOEXEC | O_NONBLOCK})
_WRITING = frozenset(
    how | new | O_CLOEXEC
    for how in (O_WRONLY, O_RDWR)
    for new in (0, O_CREAT, O_CREAT | O_TRUNC, O_TRUNC, O_CREAT | O_EXCL)
)


def _opening(position: int) -> "Rule":
    """Not O_PATH, which no Landlock sees, and no O_TRUNC in reading, which the first two versions of it miss."""
    opening = _READING | _WRITING
    return Rule(
        position,
        passes=opening,
        refused=frozenset(
            {flags | O_PATH for flags in opening} | {flags | O_TRUNC for flags in _READING} | {3 | O_TRUNC}
        ),
        exact=False,
    )


RULES: dict[str, tuple[Rule, ...]] = {
    "clone": (
        Rule(
            0,
            passes=frozenset({THREAD}),
            refused=frozenset({
                0, 17, FORK, 0x10000000, 0x20000000, 0x40000000, 0x7E020000, 0x4111, 0x100, THREAD | 0x10000000,
                THREAD | 0x40000000, THREAD | 0x2000, THREAD | 0x1000, THREAD & ~0x10000, THREAD | 9, 0x7D0F00,
            }),
        ),
    ),
    "open": (_opening(1),),
    "openat": (_opening(2),),
    "fcntl": (
        Rule(1, passes=frozenset(FCNTL.values()), refused=frozenset(set(range(1100)) - set(FCNTL.values()))),
        # F_SETFL, but never O_ASYNC
        Rule(
            2,
            passes=frozenset({0, O_NONBLOCK, O_APPEND, O_DIRECT, O_NONBLOCK | O_APPEND}),
            refused=frozenset({O_ASYNC, O_ASYNC | O_NONBLOCK, O_ASYNC | O_APPEND}),
            others=(0, FCNTL["F_SETFL"], 0, 0, 0, 0),
            exact=False,
        ),
    ),
    "ioctl": (
        Rule(
            1,
            passes=frozenset(IOCTL.values()),
            # what else terminals, sockets and files are asked: TIOCSTI, TIOCSPGRP, FIOSETOWN, SIOCSPGRP, FS_IOC_*
            refused=frozenset(
                {*range(0x5400, 0x5500), 0x8901, 0x8902, 0x8933, 0x40086602, 0x40049409, 0xC0045877, 0xAE00}
                - set(IOCTL.values())
            ),
        ),
    ),
    "prctl": (
        Rule(
            0,
            passes=frozenset(PRCTL.values()),
            refused=frozenset((set(range(80)) | {0x53564D41, 0x59616D61}) - set(PRCTL.values())),
        ),
    ),
    "prlimit64": (
        Rule(0, passes=frozenset({0}), refused=frozenset({1, 2, 4711, 0xFFFFFFFF})),
        Rule(2, **_NULL_ONLY),
    ),
    "socketpair": (
        Rule(0, passes=frozenset({1}), refused=frozenset(set(range(47)) - {1}), others=(1, 1, 0, POINTER, 0, 0)),
        Rule(
            1,
            passes=_STREAMS,
            refused=frozenset({0, 2, 3, 4, 5, 6, 10, 2 | 0o2000000, 5 | 0o4000, 0x80000000}),
            others=(1, 1, 0, POINTER, 0, 0),
            exact=False,
        ),
    ),
    "sendto": (Rule(4, **_NULL_ONLY),),
    "recvfrom": (Rule(4, **_NULL_ONLY),),
}  # fmt: skip
