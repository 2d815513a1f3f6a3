"""The process that workers are forked from: started with an empty environment, it never runs a grader itself."""

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from . import namespaces, worker
from .confinement import Confinement, Limits

_MAX_REQUEST = 4096


def main() -> NoReturn:
    """Set the jail's outer walls up, say so, and serve requests until the server is gone.

    Arguments: a JSON object with `control` (a socket's descriptor), `level`, `path` (sys.path of graders),
    `readable` (paths), `base` (an empty directory), `preload` (modules).
    """
    config = json.loads(sys.argv[1])
    control = socket.socket(fileno=config["control"])
    try:
        confinement = _prepare(config)
    except OSError as error:
        _say(control, {"error": f"{error.filename or 'set-up'}: {error.strerror or error}"})
        os._exit(1)
    _say(control, {"ready": True})
    _serve(control, confinement)


def _prepare(config: dict[str, Any]) -> Confinement:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    os.umask(0o022)  # the server's may be stricter, and workers have uids of their own
    sys.path[:] = config["path"]
    sys.dont_write_bytecode = True
    sys.argv[:] = [""]
    _die_first_when_memory_is_short()
    if config["level"] == "strict":
        namespaces.enter()
        namespaces.new_root(config["readable"], config["base"])
    for name in config["preload"]:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - a package that does not import is the grader's to find out
            continue
    importlib.import_module("encodings.idna")  # small ones that much code imports, lazily
    confinement = Confinement(config["level"], config["readable"])
    gc.collect()
    gc.freeze()  # what workers share with this process stays shared
    return confinement


def _die_first_when_memory_is_short() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:  # no /proc, or not allowed: the limits of each worker hold all the same
        return


def _serve(control: socket.socket, confinement: Confinement) -> NoReturn:
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MAX_REQUEST, 2)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if "spawn" in request:
            _spawn(control, confinement, request["spawn"], descriptors)
        else:
            if "kill" in request:  # where there are no pidfds: a child that was not waited for keeps its number
                os.kill(request["kill"], signal.SIGKILL)
            _, status = os.waitpid(request.get("kill", request.get("reap")), 0)
            _say(control, {"status": os.waitstatus_to_exitcode(status)})


def _spawn(control: socket.socket, confinement: Confinement, spawn: dict[str, Any], pipes: list[int]) -> None:
    confinement.next_worker()
    zygote = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        child = -1
        _say(control, {"error": f"fork: {error.strerror}"})
    if child == 0:
        _become_worker(control, confinement, spawn, pipes, zygote)
    for pipe in pipes:
        os.close(pipe)
    if child < 0:
        return
    if not hasattr(os, "pidfd_open"):
        _say(control, {"pid": child})
        return
    handle = os.pidfd_open(child)
    socket.send_fds(control, [json.dumps({"pid": child}).encode() + b"\n"], [handle])
    os.close(handle)


def _become_worker(
    control: socket.socket, confinement: Confinement, spawn: dict[str, Any], pipes: list[int], zygote: int
) -> NoReturn:
    try:
        requests, answers = (os.dup2(pipe, 100 + place, inheritable=False) for place, pipe in enumerate(pipes))
        os.dup2(requests, worker.REQUESTS)
        os.dup2(answers, worker.ANSWERS)
        nothing = os.open("/dev/null", os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.closerange(worker.ANSWERS + 1, 4096)
        control.detach()
        limits = Limits(memory=spawn["memory"], scratch=spawn["scratch_bytes"], threads=spawn["threads"])
        confinement.enter(limits, spawn["scratch"], zygote)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        worker.serve()
    except OSError as error:
        step = f"{error.filename or 'set-up'}: {error.strerror or error}".encode()[: worker.MAX_ERROR]
        # No grade fits this index, so the server takes it as what it is: a worker that could not be confined.
        os.write(worker.ANSWERS, worker.RECORD.pack(worker.NOT_CONFINED, worker.FAILED, 0.0, len(step), 0) + step)
    finally:
        os._exit(1)


def _say(control: socket.socket, message: dict[str, Any]) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")
