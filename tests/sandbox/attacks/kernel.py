"""The kernel's own surface, one call a row, with arguments that do no harm; and the ways around the table of calls.

Where the kernel checks a privilege before it looks at anything, only root's control shows something ("as root").
"""

from sandbox.attacks.attack import SYSTEM_CALL, Attack, python, system_call

_X86 = frozenset({"x86_64"})

_CALLS = {
    "chroot": 'call(nr["chroot"], 0)',
    "close_range": 'call(nr["close_range"], 900, 901, 0)',
    "copy_file_range": 'call(nr["copy_file_range"], -1, 0, -1, 0, 0, 0)',
    "eventfd": 'call(nr["eventfd2"], 0, 99)',
    "splice": 'call(nr["splice"], -1, 0, -1, 0, 1, 0)',
    "fchmodat": 'call(nr["fchmodat"], -1, 0, 0)',
    "flock": 'call(nr["flock"], os.open(os.__file__, 0), 8)',
    "futex_waitv": 'call(nr["futex_waitv"], 0, 0, 0, 0, 0)',
    "getxattr": 'call(nr["getxattr"], 0, 0, 0, 0)',
    "inotify_init": 'call(nr["inotify_init1"], 99)',
    "landlock": 'call(nr["landlock_create_ruleset"], 0, 0, 1)',
    "linkat": 'call(nr["linkat"], -1, 0, -1, 0, 0)',
    "mbind": 'call(nr["mbind"], 1, 0, 0, 0, 0, 0)',
    "mknod": 'call(nr["mknodat"], -1, 0, 0o10000, 0)',
    "mq_open": 'call(nr["mq_open"], 0, 0, 0, 0)',
    "msgget": 'call(nr["msgget"], 1, 0)',
    "name_to_handle_at": 'call(nr["name_to_handle_at"], -1, 0, 0, 0, 0)',
    "open_tree": 'call(nr["open_tree"], -1, 0, 0)',
    "openat2": 'call(nr["openat2"], -1, 0, 0, 0)',
    "personality": 'call(nr["personality"], 0xFFFFFFFF)',
    "pipe2": 'call(nr["pipe2"], 0, 0)',
    "posix_lock": "__import__('fcntl').lockf(os.open(os.__file__, 0), 1)",
    "lease": "__import__('fcntl').fcntl(os.open(os.__file__, 0), 1025)",
    "directory_notice": "__import__('fcntl').fcntl(os.open(os.path.dirname(os.__file__), 0), 1026, 0)",
    "file_attributes": "__import__('fcntl').ioctl(os.open(os.__file__, 0), 0x80086601, bytes(8))",
    "terminal_input": "__import__('fcntl').ioctl(0, 0x5412, b'x')",
    "prctl_dumpable": 'call(nr["prctl"], 3, 0, 0, 0, 0)',
    "prctl_ambient": 'call(nr["prctl"], 47, 1, 0, 0, 0)',
    "prctl_subreaper": 'call(nr["prctl"], 36, 0, 0, 0, 0)',
    "prctl_parent_death": 'call(nr["prctl"], 1, 0, 0, 0, 0)',
    "prctl_seccomp": 'call(nr["prctl"], 22, 99, 0, 0, 0)',
    "preadv2": 'call(nr["preadv2"], -1, 0, 0, 0, 0, 0)',
    "rt_sigtimedwait": 'call(nr["rt_sigtimedwait"], 0, 0, 0, 8)',
    "sched_fifo": 'call(nr["sched_setscheduler"], 0, 99, struct.pack("i", 1))',
    "sched_setaffinity": 'call(nr["sched_setaffinity"], 0, 128, b"\\xff" * 128)',
    "sched_setattr": 'call(nr["sched_setattr"], 0, 0, 0)',
    "seccomp": 'call(nr["seccomp"], 99, 0, 0)',
    "semget": 'call(nr["semget"], 1, 0, 0)',
    "sendfile": 'call(nr["sendfile"], -1, -1, 0, 0)',
    "setpgid": 'call(nr["setpgid"], 0, -1)',
    "setpriority": 'call(nr["setpriority"], 0, 0, 19)',
    "set_io_priority": 'call(nr["ioprio_set"], 99, 0, 0)',
    "setresuid": 'call(nr["setresuid"], -1, -1, -1)',
    "setns": 'call(nr["setns"], -1, 0)',
    "shmget": 'call(nr["shmget"], 1, 0, 0)',
    "statfs": 'call(nr["statfs"], 0, 0)',
    "symlinkat": 'call(nr["symlinkat"], 0, -1, 0)',
    "tee": 'call(nr["tee"], -1, -1, 1, 0)',
    "umount": 'call(nr["umount2"], 0, 0)',
    "unshare_files": 'call(nr["unshare"], 0x400)',
    "utimensat": 'call(nr["utimensat"], -1, 0, 0, 0)',
    "vmsplice": 'call(nr["vmsplice"], -1, 0, 0, 99)',
    "mount": 'call(nr["mount"], 0, 0, 0, 0, 0)',
}

_CALLS_OF_ROOT = {
    "acct": 'call(nr["acct"], b"/nowhere")',
    "clock_settime": 'call(nr["clock_settime"], 0, 0)',
    "fsopen": 'call(nr["fsopen"], 0, 0)',
    "fsmount": 'call(nr["fsmount"], -1, 0, 0)',
    "move_mount": 'call(nr["move_mount"], -1, 0, -1, 0, 0)',
    "mount_setattr": 'call(nr["mount_setattr"], -1, 0, 0, 0, 0)',
    "open_by_handle_at": 'call(nr["open_by_handle_at"], -1, 0, 0)',
    "pivot_root": 'call(nr["pivot_root"], 0, 0)',
    "setgroups": 'call(nr["setgroups"], 1, 0)',
    "sethostname": 'call(nr["sethostname"], 0, 99999)',
    "settimeofday": 'call(nr["settimeofday"], 1, 0)',
    "setuid": 'call(nr["setuid"], 0)',
    "swapon": 'call(nr["swapon"], 0, 99 << 20)',
    "syslog": 'call(nr["syslog"], 10, 0, 0)',
    "unshare_mounts": 'call(nr["unshare"], 0x20000)',
    "setdomainname": 'call(nr["setdomainname"], 0, 99999)',
}

_CALLS_OF_SOME = {
    "add_key": 'call(nr["add_key"], 0, 0, 0, 0, 0)',
    "bpf": 'call(nr["bpf"], 99, 0, 0)',
    "capset": 'call(nr["capset"], 0, 0)',
    "delete_module": 'call(nr["delete_module"], 0, 0)',
    "fanotify_init": 'call(nr["fanotify_init"], 99, 0)',
    "finit_module": 'call(nr["finit_module"], -1, 0, 0)',
    "init_module": 'call(nr["init_module"], 0, 0, 0)',
    "io_destroy": 'call(nr["io_destroy"], 0)',
    "io_setup": 'call(nr["io_setup"], 1, 0)',
    "io_uring_setup": 'call(nr["io_uring_setup"], 1, 0)',
    "io_uring_enter": 'call(nr["io_uring_enter"], -1, 0, 0, 0, 0, 0)',
    "keyctl": 'call(nr["keyctl"], 0, -2, 1)',
    "perf_event_open": 'call(nr["perf_event_open"], 0, 0, -1, -1, 0)',
    "quotactl": 'call(nr["quotactl"], 0, 0, 0, 0)',
    "request_key": 'call(nr["request_key"], 0, 0, 0, 0)',
    "unshare_user": 'call(nr["unshare"], 0x10000000)',
    "userfaultfd": 'call(nr["userfaultfd"], 1)',
    "cachestat": 'call(nr["cachestat"], -1, 0, 0, 0)',
    "fchmodat2": 'call(nr["fchmodat2"], -1, 0, 0, 0)',
    "listmount": 'call(nr["listmount"], 0, 0, 0, 0)',
    "setxattrat": 'call(nr["setxattrat"], -1, 0, 0, 0, 0, 0)',
    "mseal": 'call(nr["mseal"], 1, 0, 0)',
}

_CALLS_OF_X86 = {
    "chmod_call": 'call(nr["chmod"], 0, 0)',
    "creat": 'call(nr["creat"], 0, 0)',
    "epoll_create": 'call(nr["epoll_create"], 1)',
    "inotify_init_old": 'call(nr["inotify_init"])',
    "pipe": 'call(nr["pipe"], 0)',
    "symlink_call": 'call(nr["symlink"], 0, 0)',
    "utime_call": 'call(nr["utime"], 0, 0)',
}

_CALLS_OF_SOME_X86 = {
    "ioperm": 'call(nr["ioperm"], 99999999, 1, 1)',
    "iopl": 'call(nr["iopl"], 99)',
    "kexec_file_load": 'call(nr["kexec_file_load"], -1, -1, 0, 0, 99)',
    "modify_ldt": 'call(nr["modify_ldt"], 0, 0, 0)',
}

_INT80 = """
import ctypes, mmap
def attack(targets):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov eax, 20 (getpid); int 0x80; ret
    page.write(bytes.fromhex("b814000000" "cd80" "c3"))
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0
"""

_X32 = (
    SYSTEM_CALL
    + """
def attack(targets):
    return call(0x40000000 | targets["nr"]["getpid"]) > 0
"""
)

ATTACKS: tuple[Attack, ...] = (
    *(system_call(name, call) for name, call in _CALLS.items()),
    *(system_call(name, call, "as root") for name, call in _CALLS_OF_ROOT.items()),
    *(system_call(name, call, "depends") for name, call in _CALLS_OF_SOME.items()),
    *(system_call(name, call, machines=_X86) for name, call in _CALLS_OF_X86.items()),
    *(system_call(name, call, "depends", machines=_X86) for name, call in _CALLS_OF_SOME_X86.items()),
    # With magic numbers and flags that the kernel refuses, and yet only where nothing is behind the wall.
    system_call("reboot", 'call(nr["reboot"], 0, 0, 0, 0)', "never"),
    system_call("kexec_load", 'call(nr["kexec_load"], 0, -1, 0, -1)', "never"),
    *python("abi", {"int80": _INT80}, "depends", ending="killed", machines=_X86),
    *python("abi", {"x32": _X32}, "depends", ending="killed", machines=_X86),
)
