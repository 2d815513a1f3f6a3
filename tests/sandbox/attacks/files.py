"""Reading, listing and changing files outside, metadata, and what would outlive the grader."""

from sandbox.attacks.attack import Attack, python

_READ = """
def attack(targets):
    with open({path}, "rb") as file:
        return len(file.read(1)) == 1
"""
_DEVICE = """
import os
def attack(targets):
    os.close(os.open("/dev/{device}", os.O_{flags} | os.O_NONBLOCK | os.O_NOCTTY))
    return True
"""

READING = {
    "etc_passwd": _READ.format(path='"/etc/passwd"'),
    "secret_file": _READ.format(path='targets["secret_file"]'),
    "dot_dot": _READ.format(path='"../" * 40 + targets["secret_file"].lstrip("/")'),
    "dot_dot_from_scratch": """
import os, tempfile
def attack(targets):
    with open(os.path.join(tempfile.gettempdir(), "../" * 40, targets["secret_file"].lstrip("/"))) as file:
        return file.read(1) != ""
""",
    "chdir_up": """
import os
def attack(targets):
    os.chdir(os.path.dirname(targets["secret_file"]))
    return open(os.path.basename(targets["secret_file"])).read(1) != ""
""",
    "open_at_directory": """
import os
def attack(targets):
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    return os.read(os.open(targets["secret_file"][1:], os.O_RDONLY, dir_fd=root), 1) != b""
""",
    "open_by_path_handle": """
import os
def attack(targets):
    handle = os.open(targets["secret_file"], os.O_PATH)
    return open(f"/proc/self/fd/{handle}").read(1) != ""
""",
    "list_root": """
import os
def attack(targets):
    return bool({"etc", "proc", "root", "home", "var"} & set(os.listdir("/")))
""",
    "list_tmp": """
import os
def attack(targets):
    directory, name = os.path.split(os.path.dirname(targets["secret_file"]))
    return name in os.listdir(directory)
""",
    "scan_directory": """
import os
def attack(targets):
    return any(os.scandir(os.path.dirname(targets["secret_file"])))
""",
    "symlink": """
import os, tempfile
def attack(targets):
    link = os.path.join(tempfile.gettempdir(), f"link-{os.getpid()}")
    os.symlink(targets["secret_file"], link)
    try:
        return open(link).read(1) != ""
    finally:
        os.unlink(link)
""",
    "hard_link": """
import os
def attack(targets):
    link = targets["secret_file"] + ".link"
    os.link(targets["secret_file"], link)
    os.unlink(link)
    return True
""",
    "proc_self_maps": _READ.format(path='"/proc/self/maps"'),
    "proc_server_status": _READ.format(path="f\"/proc/{targets['server']}/status\""),
    "proc_list": """
import os
def attack(targets):
    return len(os.listdir("/proc")) > 0
""",
    "proc_root": _READ.format(path='"/proc/self/root" + targets["secret_file"]'),
    "sys": """
import os
def attack(targets):
    return len(os.listdir("/sys")) > 0
""",
    "boot_id": _READ.format(path='"/proc/sys/kernel/random/boot_id"'),
}

CHANGING = {
    "truncate_by_path": """
import os
def attack(targets):
    os.truncate(targets["sacrifice"], 0)
    return True
""",
    "truncate_by_open": """
import os
def attack(targets):
    os.open(targets["sacrifice"], os.O_RDONLY | os.O_TRUNC)
    return os.stat(targets["sacrifice"]).st_size == 0
""",
    "write_over": """
def attack(targets):
    with open(targets["sacrifice"], "r+b") as file:
        file.write(b"mine")
    return True
""",
    "create": """
def attack(targets):
    open(targets["sacrifice"] + ".new", "x").close()
    return True
""",
    "delete": """
import os
def attack(targets):
    os.unlink(targets["sacrifice"])
    return True
""",
    "rename": """
import os
def attack(targets):
    os.rename(targets["sacrifice"], targets["sacrifice"] + ".moved")
    return True
""",
    "make_directory": """
import os
def attack(targets):
    os.mkdir(targets["sacrifice"] + ".directory")
    return True
""",
    "chmod": """
import os
def attack(targets):
    os.chmod(targets["sacrifice"], 0o777)
    return True
""",
    "chown": """
import os
def attack(targets):
    os.chown(targets["sacrifice"], os.getuid(), os.getgid())
    return True
""",
    "utime": """
import os
def attack(targets):
    os.utime(targets["sacrifice"], (0, 0))
    return True
""",
    "dev_shm": """
import os
def attack(targets):
    name = f"/dev/shm/regrade-{os.getpid()}"
    open(name, "x").close()
    os.unlink(name)
    return True
""",
    "mkfifo": """
import os, tempfile
def attack(targets):
    name = os.path.join(tempfile.gettempdir(), f"fifo-{os.getpid()}")
    os.mkfifo(name)
    os.unlink(name)
    return True
""",
}

OF_OTHERS = {
    "link_shared_file_into_scratch": """
import os, tempfile
def attack(targets):
    link = os.path.join(tempfile.gettempdir(), f"hard-{os.getpid()}")
    try:
        os.link(os.__file__, link)
    except OSError as error:
        if error.errno != 18:
            raise
        return True
    os.unlink(link)
    return True
""",
    "fchmod": """
import os
def attack(targets):
    os.fchmod(os.open(os.__file__, os.O_RDONLY), os.stat(os.__file__).st_mode & 0o7777)
    return True
""",
}

_CREATE_AND_REMOVE = """
import os
def attack(targets):
    name = os.path.join({directory}, f"regrade-attack-{{os.getpid()}}.txt")
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(name)
    return True
"""

LASTING = {
    "site_packages": _CREATE_AND_REMOVE.format(directory='__import__("sysconfig").get_path("purelib")'),
    "standard_library": _CREATE_AND_REMOVE.format(directory="os.path.dirname(os.__file__)"),
    "standard_library_cache": _CREATE_AND_REMOVE.format(
        directory='os.path.join(os.path.dirname(os.__file__), "__pycache__")'
    ),
    "jail_code": _CREATE_AND_REMOVE.format(directory='targets["jail"]'),
    "jail_code_open": """
import os
def attack(targets):
    os.close(os.open(os.path.join(targets["jail"], "worker.py"), os.O_RDWR))
    return True
""",
    "chmod_prefix": """
import os, sys
def attack(targets):
    os.chmod(sys.prefix, os.stat(sys.prefix).st_mode & 0o7777)
    return True
""",
    "home": _CREATE_AND_REMOVE.format(directory='targets["home"]'),
}

STAT = """
import os
def attack(targets):
    return os.stat("/etc/passwd").st_size > 0
"""

ATTACKS: tuple[Attack, ...] = (
    *python("files", READING),
    *python("files", CHANGING),
    *python("files", OF_OTHERS, "as root"),
    *python("persistence", LASTING, "as root"),
    Attack(name="stat_outside", group="metadata", source=STAT, leaks=frozenset({"landlock"})),
    *python(
        "devices",
        {
            f"dev_{device}": _DEVICE.format(device=device, flags=flags)
            for device, flags in {
                "mem": "RDONLY", "kmsg": "RDONLY", "tty": "RDWR", "vda": "RDONLY", "ptmx": "RDWR", "kvm": "RDWR",
                "fuse": "RDWR", "net/tun": "RDWR", "full": "RDWR",
            }.items()
        },
        "depends",
    ),
)  # fmt: skip
