"""A jail that was just built is attacked before anybody relies on it."""

import json
import os
import select
import socket
import time
from pathlib import Path

from regrade.sandbox.jail import worker as inside
from regrade.sandbox.options import SandboxOptions
from regrade.sandbox.zygote import Process, Zygote, ZygoteError

_SECONDS = 30.0

_ATTACKS = """
import ctypes, os, socket

def read_file(item): open(item["file"]).read()
def list_folder(item): os.listdir(item["folder"])
def write_library(item): open(os.__file__, "ab").close()
def connect_tcp(item): socket.create_connection(("127.0.0.1", item["port"]), 1)
def connect_unix(item): socket.socket(socket.AF_UNIX).connect(item["abstract"])
def fork(item):
    if os.fork() == 0:
        os._exit(0)
def execute(item): os.posix_spawn("/bin/true", ["true"], {})
def signal_parent(item): os.kill(os.getppid(), 0)
def new_namespace(item):
    if ctypes.CDLL(None).unshare(0x10000000) != 0:
        raise OSError
def trace(item):
    if ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0:
        raise OSError
def environment(item):
    if item["secret"] not in open("/proc/self/environ").read():
        raise OSError

ATTACKS = [read_file, list_folder, write_library, connect_tcp, connect_unix, fork, execute, signal_parent,
           new_namespace, trace, environment]

def grade(sample, item):
    breaches = 0
    for bit, attack in enumerate(ATTACKS):
        try:
            attack(item)
        except Exception:
            continue
        breaches |= 1 << bit
    return breaches
"""
_NAMES = (
    "reads a file of the server's", "lists a folder of the server's", "writes to the standard library",
    "connects over TCP", "connects to a UNIX socket", "forks", "executes a program", "signals its parent",
    "makes a namespace", "traces a process", "reads the server's environment",
)  # fmt: skip


def breaches(zygote: Zygote, options: SandboxOptions, folder: Path, scratch: Path | None) -> list[str]:
    """What a grader could do that it must not: each as a verb with its object. Raises ZygoteError.

    `folder` is for a planted file; `scratch` what the worker gets.
    """
    planted = folder / "planted"
    planted.write_text("planted", encoding="utf-8")
    abstract = f"\0regrade-{os.getpid()}-{time.monotonic_ns()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(abstract)
        unix.listen()
        item = {
            "file": str(planted),
            "folder": str(folder),
            "port": tcp.getsockname()[1],
            "abstract": abstract,
            "secret": "PATH=",
        }
        process = zygote.spawn(memory=options.memory, scratch_bytes=options.scratch, scratch=scratch, threads=64)
        try:
            found = _grade_once(process, _ATTACKS, item)
        finally:
            process.end()
    return [name for bit, name in enumerate(_NAMES) if found >> bit & 1]


def _grade_once(process: Process, source: str, item: dict[str, object]) -> int:
    payload = json.dumps([0, [[{}, item]]]).encode()
    for text in (source.encode(), payload):
        os.write(process.requests, inside.FRAME.pack(len(text), inside.PLAIN) + text)
    answers = b""
    deadline = time.monotonic() + _SECONDS
    while len(answers) < 2 * inside.RECORD.size:
        ready, _, _ = select.select([process.answers], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(process.answers, 1 << 16) if ready else b""
        answers += data
        if not data or (len(answers) >= inside.RECORD.size and inside.RECORD.unpack_from(answers)[1] != 0):
            raise ZygoteError(f"The self-test did not end as it should ({answers[inside.RECORD.size :].decode()}).")
    index, status, value, _, _ = inside.RECORD.unpack_from(answers, inside.RECORD.size)
    if index != 0 or status != inside.GRADED:
        raise ZygoteError(f"The self-test failed ({answers[2 * inside.RECORD.size :].decode('utf-8', 'replace')}).")
    return int(value)
