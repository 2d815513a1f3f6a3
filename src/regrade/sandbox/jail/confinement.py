"""What a worker gives up before it sees a line of a grader's code, in the order in which it can."""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass

from . import landlock, namespaces
from .libc import check, libc, prctl
from .seccomp import Filter
from .syscalls import number

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _SIGKILL = 1, 4, 38, 9
_OPEN_FILES = 64
_BOX_FILES = 10_000
_CAPABILITIES_V3 = 0x20080522
_FIRST_UID, _UIDS_EACH = 0x40000000, 0x10000
"""Far beyond what any system gives to people or services, so that nobody else's processes count as a grader's."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use."""

    memory: int
    """Bytes of address space."""
    scratch: int
    """Bytes of files."""
    threads: int


class Confinement:
    """The way from a process that was just forked to one that is held."""

    def __init__(self, level: str, readable: list[str]) -> None:
        """`level` is "strict" (in namespaces already), "landlock", or "unsafe", which holds nothing back."""
        self._level = level
        self._readable = readable
        self._filter = None if level == "unsafe" else Filter()
        self._spawned = 0
        self._own_uids = level != "unsafe" and os.geteuid() == 0 and self._readable_to_strangers()

    def next_worker(self) -> None:
        """Called before each fork, so that each worker has a uid of its own."""
        self._spawned += 1

    def enter(self, limits: Limits, scratch: str, zygote: int) -> None:
        """Hold this process, whose parent must still be `zygote`. Raises OSError, which names the step."""
        uid = self._uid()
        if self._level == "strict":
            namespaces.new_box(limits.scratch, _BOX_FILES, uid, os.getegid() if uid == os.geteuid() else uid)
            scratch = namespaces.BOX
        elif self._own_uids:
            os.chown(scratch, uid, uid)
        os.chdir(scratch)
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        self._limit(limits)
        if self._filter is None:
            return
        prctl(_PR_SET_NO_NEW_PRIVS, 1, "no new privileges")
        landlock.restrict(self._readable, scratch)
        self._drop_privileges(uid)
        # Not inherited by children and forgotten by changes of uid, so it is set here, late.
        prctl(_PR_SET_PDEATHSIG, _SIGKILL, "parent's death signal")
        prctl(_PR_SET_DUMPABLE, 0, "no dumps")
        if os.getppid() != zygote:
            os._exit(1)
        self._filter.install()

    def _uid(self) -> int:
        if not self._own_uids:
            return os.geteuid()
        return _FIRST_UID + os.getppid() % 0x4000 * _UIDS_EACH + self._spawned % _UIDS_EACH

    def _limit(self, limits: Limits) -> None:
        fixed = {
            resource.RLIMIT_AS: limits.memory,
            resource.RLIMIT_FSIZE: limits.scratch,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_MEMLOCK: 0,
        }
        if sys.platform == "linux":
            fixed |= {
                resource.RLIMIT_SIGPENDING: 64,
                resource.RLIMIT_MSGQUEUE: 0,
                resource.RLIMIT_RTPRIO: 0,
                resource.RLIMIT_NICE: 0,
            }
        for kind, value in fixed.items():
            _, hard = resource.getrlimit(kind)
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (limit, limit))
        if self._own_uids:  # otherwise it would count threads of others, the server's among them
            resource.setrlimit(resource.RLIMIT_NPROC, (limits.threads, limits.threads))
        elif self._level != "unsafe":
            everybody = 8192 if self._level == "landlock" else 16 * limits.threads
            _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            bound = everybody if hard == resource.RLIM_INFINITY else min(everybody, hard)
            resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))

    def _drop_privileges(self, uid: int) -> None:
        if self._own_uids:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
        none = (ctypes.c_uint32 * 6)()
        check(libc.syscall(number("capset"), header, none), "capabilities")

    def _readable_to_strangers(self) -> bool:
        """Whether a uid that owns nothing reads the interpreter's files; tried by a child."""
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            return status == 0
        try:
            os.setgroups([])
            os.setresgid(_FIRST_UID, _FIRST_UID, _FIRST_UID)
            os.setresuid(_FIRST_UID, _FIRST_UID, _FIRST_UID)
            seen = [path for path in sys.path if not path.endswith(".zip")]
            os._exit(0 if all(os.access(path, os.R_OK | os.X_OK) for path in seen) else 1)
        except OSError:
            os._exit(1)
