"""Looking for what the server knows: its environment, its files, its open descriptors, its memory.

Each kind of secret is planted: `RGCANARY` and 32 digits. An attack knows only the digest of the one that it looks
for, so that it cannot find its own copy, and its own source never holds the prefix in one piece.
"""

from sandbox.attacks.attack import SYSTEM_CALL, Attack, python

_FIND = """
import hashlib, re
_pattern = re.compile(b"RGCA" + b"NARY([0-9a-f]{32})")

def found(data, digest):
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    return any(hashlib.sha256(hit).hexdigest() == digest for hit in _pattern.findall(data))
"""

_PAGES = """
# rt_sigprocmask reads eight bytes at an address before it finds that 99 is no way to change a mask:
# EFAULT or EINVAL.
def readable(targets, address):
    try:
        call(targets["nr"]["rt_sigprocmask"], 99, address, 0, 8)
    except OSError as error:
        return error.errno == 22
    return True

def pages_up(targets, address, most):
    page = address & ~4095
    while most and readable(targets, page):
        yield page
        page += 4096
        most -= 1

def pages_around(targets, address, most):
    yield from pages_up(targets, address, most)
    page = (address & ~4095) - 4096
    while most and readable(targets, page):
        yield page
        page -= 4096
        most -= 1
"""

ENVIRONMENT = {
    "os_environ": """
import os
def attack(targets):
    return found(repr(dict(os.environb)), targets["digests"]["environment"])
""",
    "libc_environ": SYSTEM_CALL
    + """
def attack(targets):
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(_libc, "environ")
    at = 0
    while environ and environ[at]:
        if found(environ[at], targets["digests"]["environment"]):
            return True
        at += 1
    return False
""",
    "initial_stack": SYSTEM_CALL
    + _PAGES
    + """
def attack(targets):
    name = ctypes.c_void_p.in_dll(_libc, "program_invocation_name").value
    data = b"".join(ctypes.string_at(page, 4096) for page in pages_up(targets, name, 4096))
    assert len(data) >= 4096, "the stack was not found"
    return found(data, targets["digests"]["environment"])
""",
    "proc_self_environ": """
def attack(targets):
    return found(open("/proc/self/environ", "rb").read(), targets["digests"]["environment"])
""",
    "proc_parent_environ": """
import os
def attack(targets):
    return found(open(f"/proc/{os.getppid()}/environ", "rb").read(), targets["digests"]["environment"])
""",
    "proc_server_environ": """
def attack(targets):
    return found(open(f"/proc/{targets['server']}/environ", "rb").read(), targets["digests"]["environment"])
""",
}

MEMORY = {
    "garbage_collector": """
import gc
def attack(targets):
    for thing in gc.get_objects():
        values = thing.values() if type(thing) is dict else thing if type(thing) in (list, tuple) else ()
        for value in list(values):
            if type(value) in (str, bytes) and found(value, targets["digests"]["memory"]):
                return True
    return False
""",
    "frames": """
import sys
def attack(targets):
    frame = sys._getframe()
    while frame:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            if type(value) in (str, bytes, dict, list) and found(repr(value), targets["digests"]["memory"]):
                return True
        frame = frame.f_back
    return False
""",
    "heap": SYSTEM_CALL
    + _PAGES
    + """
import gc
def attack(targets):
    seen = set()
    for thing in gc.get_objects():
        if id(thing) & ~4095 not in seen:
            for page in pages_around(targets, id(thing), 256):
                if page in seen:
                    continue
                seen.add(page)
                if found(ctypes.string_at(page, 4096), targets["digests"]["memory"]):
                    return True
    assert len(seen) > 256, "the heap was not found"
    return False
""",
}

DESCRIPTORS = {
    "inherited_files": """
import os, stat
def attack(targets):
    for number in range(256):
        try:
            if stat.S_ISREG(os.fstat(number).st_mode):
                if found(os.pread(number, 4096, 0), targets["digests"]["file"]):
                    return True
        except OSError:
            pass
    return False
""",
    "inherited_sockets": """
import os, stat
def attack(targets):
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                return True
        except OSError:
            pass
    return False
""",
    "inherited_directories": """
import os, stat
def attack(targets):
    for number in range(256):
        try:
            if stat.S_ISDIR(os.fstat(number).st_mode):
                return True
        except OSError:
            pass
    return False
""",
    "many_descriptors": """
import os
def attack(targets):
    opened = 0
    for number in range(256):
        try:
            os.fstat(number)
            opened += 1
        except OSError:
            pass
    return opened > 5
""",
}

ATTACKS: tuple[Attack, ...] = tuple(
    python("secrets", {name: _FIND + source for name, source in {**ENVIRONMENT, **MEMORY, **DESCRIPTORS}.items()})
)
