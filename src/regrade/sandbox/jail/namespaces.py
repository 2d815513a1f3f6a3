"""Namespaces: a process tree, a network, and a file tree of its own, where the kernel allows them."""

import ctypes
import os
from collections.abc import Iterable
from typing import NoReturn

from .libc import check, libc, prctl
from .syscalls import number

BOX = "/box"
"""Where a grader may write."""

DEVICES = ("/dev/null", "/dev/urandom")

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000,
    0x02000000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_WITHOUT_USER = _NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_READ_ONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def enter() -> None:
    """Go on as the first process of new namespaces; the process that was here waits for that one's end.

    Without privileges a user namespace gives them. Raises OSError where the kernel or its administrator refuses.
    """
    if os.geteuid() != 0 or libc.unshare(_WITHOUT_USER) == -1:
        uid, gid = os.geteuid(), os.getegid()
        check(libc.unshare(_WITHOUT_USER | _NEWUSER), "user namespace")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    child = os.fork()
    if child:
        _wait_for(child)
    # When the first process of a process namespace ends, all others in it do.
    prctl(_PR_SET_PDEATHSIG, _SIGKILL, "parent's death signal")


def _wait_for(child: int) -> NoReturn:
    os.closerange(0, 256)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def new_root(readable: Iterable[str], base: str) -> None:
    """Leave a file tree that holds nothing but `readable`, read-only, two devices and an empty /box.

    `base` is an empty directory, which becomes the root.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", base, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    for path in readable:
        _show(path, base, _ATTR_READ_ONLY | _ATTR_NOSUID | _ATTR_NODEV)
    for path in DEVICES:
        _show(path, base, _ATTR_NOSUID)
    os.mkdir(base + BOX)
    os.chdir(base)
    # The old root ends up on top of the new one, and is taken off.
    check(libc.syscall(number("pivot_root"), b".", b"."), "pivot_root")
    check(libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")
    _protect("/", _ATTR_READ_ONLY | _ATTR_NOSUID | _ATTR_NODEV, recursive=False)


def _show(path: str, base: str, attributes: int) -> None:
    """Have `path` below `base`; what does not exist is left out."""
    target = base + path
    if not os.path.exists(path) or os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    _mount(path, target, None, _MS_BIND | _MS_REC)
    _protect(target, attributes, recursive=True)


def new_box(size: int, files: int, uid: int, gid: int) -> None:
    """A scratch directory in memory that nobody else sees and that ends with this process."""
    check(libc.unshare(_NEWNS), "mount namespace")
    options = f"size={size},nr_inodes={files},mode=700,uid={uid},gid={gid}"
    _mount("tmpfs", BOX, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    mounted = libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    check(mounted, f"mount of {target}")


def _protect(path: str, attributes: int, *, recursive: bool) -> None:
    wanted = _MountAttributes(attributes, 0, 0, 0)
    changed = libc.syscall(
        number("mount_setattr"),
        _AT_FDCWD,
        os.fsencode(path),
        _AT_RECURSIVE if recursive else 0,
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    check(changed, f"attributes of the mount {path}")
