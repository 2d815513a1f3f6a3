"""Taking memory and disk. The tests give a grader 256 MiB of memory and 16 MiB of scratch."""

from sandbox.attacks.attack import Attack, python, system_call

MEMORY_BYTES = 256 << 20
SCRATCH_BYTES = 16 << 20

_MEMORY = {
    "bytearray": """
def attack(targets):
    return len(bytearray(400 << 20)) > 0
""",
    "growing_list": """
def attack(targets):
    held = []
    for number in range(400):
        held.append(b"%d" % (number % 10) * (1 << 20))
    return True
""",
    "anonymous_map": """
import mmap
def attack(targets):
    return len(mmap.mmap(-1, 400 << 20)) > 0
""",
    "zip_bomb": """
import zlib
def attack(targets):
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()
    return len(zlib.decompress(packed)) == 400 << 20
""",
    "repeated_text": """
def attack(targets):
    return len(("ab" * 1000) * 210_000) > 0
""",
    "shared_memory": """
from multiprocessing import shared_memory
def attack(targets):
    block = shared_memory.SharedMemory(create=True, size=4096)
    block.unlink()
    block.close()
    return True
""",
    "memory_file": """
import os
def attack(targets):
    return os.ftruncate(os.memfd_create("hidden"), 64 << 20) is None
""",
    "pipe_buffers": """
import os
def attack(targets):
    held = 0
    while held < 16 << 20:
        _, writing = os.pipe()
        os.set_blocking(writing, False)
        held += os.write(writing, bytes(1 << 16))
    return True
""",
    "socket_buffers": """
import socket
def attack(targets):
    held, pairs = 0, []
    while held < 16 << 20:
        pair = socket.socketpair()
        pair[0].setblocking(False)
        pairs.append(pair)
        try:
            while True:
                held += pair[0].send(bytes(1 << 16))
        except BlockingIOError:
            pass
    return True
""",
}

_MEMORY_CALLS = (
    system_call("mlockall", 'call(nr["mlockall"], 99)', group="memory"),
    system_call("mlock", 'call(nr["mlock"], 4096, 1)', group="memory"),
    system_call("mlock2", 'call(nr["mlock2"], 4096, 1, 99)', group="memory"),
    system_call("memfd_secret", 'call(nr["memfd_secret"], 0)', "depends", group="memory"),
    system_call("pipe_size", "__import__('fcntl').fcntl(os.open(os.__file__, 0), 1031, 1 << 20)", group="memory"),
    system_call("raise_memory_limit", 'call(nr["prlimit64"], 0, 9, struct.pack("=2q", -1, -1), 0)', group="memory"),
    system_call("lower_any_limit", 'call(nr["prlimit64"], 0, 4, struct.pack("=2Q", 0, 0), 0)', group="memory"),
    system_call("setrlimit", 'call(nr["setrlimit"], 99, 0)', group="memory"),
    system_call(
        "remap_file_pages",
        'call(nr["remap_file_pages"], 1, 0, 0, 0, 0)',
        group="memory",
        machines=frozenset({"x86_64"}),
    ),
)

_DISK = {
    "one_large_file": """
import tempfile
def attack(targets):
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(32):
            if file.write(bytes(1 << 20)) != 1 << 20:
                return False
    return True
""",
    "sparse_file": """
import os, tempfile
def attack(targets):
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), 64 << 20)
        os.posix_fallocate(file.fileno(), 0, 64 << 20)
    return True
""",
}

_MANY_FILES = """
import os, tempfile
def attack(targets):
    with tempfile.TemporaryDirectory() as folder:
        for number in range({files}):
            with open(os.path.join(folder, str(number)), "wb") as file:
                file.write(bytes({size}))
    return True
"""

ATTACKS: tuple[Attack, ...] = (
    *python("memory", _MEMORY),
    *_MEMORY_CALLS,
    *python("disk", _DISK),
)

MANY_FILES = Attack(name="many_files", group="disk", source=_MANY_FILES.format(files=16, size=4 << 20))
MANY_INODES = Attack(name="many_inodes", group="disk", source=_MANY_FILES.format(files=100_000, size=0))
"""These two the `landlock` level ends by watching the folder, so they have a test of their own."""

_HIDDEN = """
import os, tempfile, time
def attack(targets):
    held = []
    {hide}
    for number in range(20):
        file = {open}
        for _ in range(8):
            file.write(bytes(1 << 20))
        held.append(file)
    time.sleep(1)
    return True
"""
_DEEPLY = """for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)"""

HIDDEN_IN_THE_DEPTH = Attack(
    name="hidden_in_the_depth",
    group="disk",
    source=_HIDDEN.format(hide=_DEEPLY, open='open(str(number), "wb", 0)'),
)
"""Ten times what a grader may have, where no path reaches."""
HIDDEN_BY_REMOVAL = Attack(
    name="hidden_by_removal",
    group="disk",
    source=_HIDDEN.format(hide="", open="tempfile.TemporaryFile(buffering=0)"),
    leaks=frozenset({"landlock"}),
)
"""Files that were opened and removed: nobody sees them who may not look into the process."""

DEEP_FOLDERS = Attack(
    name="deep_folders",
    group="disk",
    source="""
import os
def attack(targets):
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    return False
""",
)
"""Deeper than Python recurses: whoever cleans up must not."""
