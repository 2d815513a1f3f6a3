"""Starting processes, and reaching those that run: signals, tracing, other memories."""

from sandbox.attacks.attack import SYSTEM_CALL, Attack, python, system_call

_X86 = frozenset({"x86_64"})

STARTING = {
    "fork": """
import os
def attack(targets):
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
""",
    "subprocess": """
import subprocess, sys
def attack(targets):
    return subprocess.run([sys.executable, "-c", "pass"]).returncode == 0
""",
    "posix_spawn": """
import os, sys
def attack(targets):
    return os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], {}), 0)[1] == 0
""",
    "system": """
import os
def attack(targets):
    return os.system("true") == 0
""",
    "pty_fork": """
import os, pty
def attack(targets):
    child, terminal = pty.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
""",
    "multiprocessing": """
import multiprocessing
def attack(targets):
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    return child.exitcode == 0
""",
    "process_pool": """
import concurrent.futures, multiprocessing
def attack(targets):
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(int).result(5) == 0
""",
    "clone_plain": SYSTEM_CALL
    + """
def attack(targets):
    child = call(targets["nr"]["clone"], 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
""",
    "clone3": SYSTEM_CALL
    + """
def attack(targets):
    arguments = struct.pack("=11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    child = call(targets["nr"]["clone3"], arguments, len(arguments))
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
""",
}

NAMESPACED = (
    SYSTEM_CALL
    + """
def attack(targets):
    child = call(targets["nr"]["clone"], {flags} | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
"""
)

FORK_BOMB = """
import os
def attack(targets):
    refused = 0
    for _ in range(200):
        try:
            if os.fork() == 0:
                os._exit(0)
            return True
        except OSError:
            refused += 1
    return refused != 200
"""

THREADS = """
import threading
def attack(targets):
    gate = threading.Event()
    started = []
    try:
        for _ in range(2000):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        gate.set()
    return True
"""

_PID = 'targets["server"]'
_BYSTANDER = 'targets["bystander"]'

SIGNALS = (
    *(
        system_call(name, call, group="signals")
        for name, call in {
            "kill_parent": 'call(nr["kill"], os.getppid(), 0)',
            "kill_server": f'call(nr["kill"], {_PID}, 0)',
            "kill_bystander": f'call(nr["kill"], {_BYSTANDER}, 0)',
            "kill_group": 'call(nr["kill"], 0, 0)',
            "tgkill_server": f'call(nr["tgkill"], {_PID}, {_PID}, 0)',
            "tkill_server": f'call(nr["tkill"], {_PID}, 0)',
            "pidfd_open": f'call(nr["pidfd_open"], {_PID}, 0)',
            "pidfd_send_signal": 'call(nr["pidfd_send_signal"], -1, 0, 0, 0)',
            "sigqueue": f'call(nr["rt_sigqueueinfo"], {_BYSTANDER}, 0, 0)',
            "sigqueue_thread": f'call(nr["rt_tgsigqueueinfo"], {_BYSTANDER}, {_BYSTANDER}, 0, 0)',
            "set_owner": f"""
        import fcntl
        fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), fcntl.F_SETOWN, {_BYSTANDER})""",
            "set_owner_extended": f"""
        import fcntl
        fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 15, struct.pack("ii", 1, {_BYSTANDER}))""",
            "set_signal": """
        import fcntl
        fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 10, 0)""",
            "interval_timer": 'call(nr["setitimer"], 0, 0, 0)',
            "posix_timer": 'call(nr["timer_create"], 99, 0, 0)',
            "signal_descriptor": 'call(nr["signalfd4"], -1, 0, 8, 0)',
            "timer_descriptor": 'call(nr["timerfd_create"], 99, 0)',
        }.items()
    ),
    system_call("kill_one", 'call(nr["kill"], 1, 0)', "as root", group="signals"),
    system_call("alarm", 'call(nr["alarm"], 0)', group="signals", machines=_X86),
    system_call("kill_all", 'call(nr["kill"], -1, 0)', "never", group="signals"),
    system_call("stop_itself", 'call(nr["kill"], os.getpid(), 19)', "never", group="signals"),
    system_call(
        "stop_its_thread", 'call(nr["tgkill"], os.getpid(), call(nr["gettid"]), 19)', "never", group="signals"
    ),
)

_REMOTE = """
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def attack(targets):
    import hashlib
    mine = ctypes.create_string_buffer(targets["canary_length"])
    local = Vector(ctypes.addressof(mine), len(mine))
    remote = Vector(targets["canary_address"], targets["canary_length"])
    call(targets["nr"]["process_vm_readv"], targets["server"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return hashlib.sha256(mine.raw[-32:]).hexdigest() == targets["digests"]["memory"]
"""

TRACING = (
    *python(
        "tracing",
        {
            "read_server_memory": SYSTEM_CALL + _REMOTE,
            "proc_server_mem": """
import hashlib
def attack(targets):
    with open(f"/proc/{targets['server']}/mem", "rb", 0) as memory:
        memory.seek(targets["canary_address"])
        found = memory.read(targets["canary_length"])
    return hashlib.sha256(found[-32:]).hexdigest() == targets["digests"]["memory"]
""",
            "steal_descriptor": SYSTEM_CALL
            + """
def attack(targets):
    process = call(targets["nr"]["pidfd_open"], targets["server"], 0)
    stolen = call(targets["nr"]["pidfd_getfd"], process, targets["secret_descriptor"], 0)
    return os.pread(stolen, 1, 0) != b""
""",
        },
        "as root",
    ),
    *(
        system_call(name, call, outside, group="tracing")
        for name, call, outside in (
            ("ptrace_seize", f'call(nr["ptrace"], 0x4206, {_BYSTANDER}, 0, 0)', "as root"),
            ("ptrace_traceme", 'call(nr["ptrace"], 0, 0, 0, 0)', "succeeds"),
            ("process_vm_writev", f'call(nr["process_vm_writev"], {_BYSTANDER}, 0, 0, 0, 0, 0)', "succeeds"),
            ("pidfd_getfd", 'call(nr["pidfd_getfd"], -1, 0, 0)', "succeeds"),
            ("process_madvise", 'call(nr["process_madvise"], -1, 0, 0, 0, 0)', "succeeds"),
            ("process_mrelease", 'call(nr["process_mrelease"], -1, 0)', "depends"),
            ("kcmp", 'call(nr["kcmp"], os.getpid(), os.getpid(), 1, 0, 0)', "depends"),
            ("move_pages", 'call(nr["move_pages"], 0, 0, 0, 0, 0, 0)', "depends"),
            ("get_robust_list", f'call(nr["get_robust_list"], {_BYSTANDER}, 0, 0)', "as root"),
            ("prlimit_server", f'call(nr["prlimit64"], {_PID}, 7, 0, ctypes.create_string_buffer(16))', "succeeds"),
        )
    ),
)

ATTACKS: tuple[Attack, ...] = (
    *python("processes", STARTING),
    Attack(
        name="clone_user_namespace",
        group="processes",
        source=NAMESPACED.format(flags="0x10000000"),
        outside="depends",
    ),
    Attack(
        name="clone_pid_namespace",
        group="processes",
        source=NAMESPACED.format(flags="0x20000000"),
        outside="depends",
    ),
    Attack(name="fork_bomb", group="processes", source=FORK_BOMB, outside="never"),
    Attack(name="two_thousand_threads", group="processes", source=THREADS, outside="never"),
    system_call("execve", 'call(nr["execve"], b"/nowhere", 0, 0)', group="processes"),
    system_call("execveat", 'call(nr["execveat"], -100, b"/nowhere", 0, 0, 0)', group="processes"),
    system_call("wait4", 'call(nr["wait4"], -1, 0, 1, 0)', group="processes"),
    system_call("fork_call", 'call(nr["fork"]) or os._exit(0)', group="processes", machines=_X86),
    # A child of vfork runs on its parent's stack and would spoil it.
    system_call("vfork_call", 'call(nr["vfork"]) or os._exit(0)', "never", group="processes", machines=_X86),
    *SIGNALS,
    *TRACING,
)
