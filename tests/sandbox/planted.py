"""What an attack could find, touch or reach, planted in and around the process that stands for the server."""

import ctypes
import hashlib
import os
import secrets
import socket
import subprocess
from pathlib import Path

MARK = "RGCANARY"
VARIABLE = "REGRADE_PLANTED_SECRET"


def canary() -> str:
    """A secret that an attack can recognise and cannot guess."""
    return MARK + secrets.token_hex(16)


def digest(secret: str) -> str:
    """What an attack is told of it."""
    return hashlib.sha256(secret.removeprefix(MARK).encode()).hexdigest()


class Planted:
    """Secrets in the environment, a file, memory and a descriptor; listeners; a bystander to signal."""

    def __init__(self, folder: Path, jail: Path) -> None:
        self._folder = folder / "outside"
        self._folder.mkdir()
        self._secret_file = self._folder / "secret.txt"
        in_file, in_memory = canary(), canary()
        self._secret_file.write_text(in_file)
        self.api_keys: dict[str, object] = {"model": in_memory, "endpoints": []}
        self._buffer = ctypes.create_string_buffer(in_memory.encode())
        self._descriptor = os.open(self._secret_file, os.O_RDONLY)
        os.set_inheritable(self._descriptor, True)
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sacrifices = self._folder / "sacrifices"
        self._sacrifices.mkdir()
        self._listeners = dict(self._listen(folder))
        for listener in self._listeners.values():
            listener.setblocking(False)
            listener.set_inheritable(True)
        self._bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.targets = {
            "server": os.getpid(),
            "bystander": self._bystander.pid,
            "home": str(Path.home()),
            "jail": str(jail),
            "secret_file": str(self._secret_file),
            "secret_descriptor": self._descriptor,
            "canary_address": ctypes.addressof(self._buffer),
            "canary_length": len(in_memory),
            "digests": {
                "environment": digest(os.environ[VARIABLE]),
                "file": digest(in_file),
                "memory": digest(in_memory),
            },
            "sacrifice": str(self._sacrifices / "file"),
            **{name: listener.getsockname() for name, listener in self._listeners.items()},
        }
        for name, address in list(self.targets.items()):
            if isinstance(address, tuple):
                self.targets[name] = address[1]
            elif isinstance(address, bytes):
                self.targets[name] = address[1:].decode()

    @staticmethod
    def _listen(folder: Path):
        for name, family, kind, address in (
            ("tcp4", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "listener")),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0planted-{os.getpid()}"),
            ("abstract_datagram", socket.AF_UNIX, socket.SOCK_DGRAM, f"\0planted-datagram-{os.getpid()}"),
        ):
            try:
                listener = socket.socket(family, kind)
                listener.bind(address)
            except OSError:  # a machine without IPv6
                if family != socket.AF_INET6:
                    raise
                listener = socket.socket(socket.AF_INET, kind)
                listener.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            yield name, listener

    def renew(self) -> None:
        """Before each attack: a file that it may try to change."""
        for path in self._sacrifices.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        (self._sacrifices / "file").write_text("untouched")
        (self._sacrifices / "file").chmod(0o640)
        os.utime(self._sacrifices / "file", (1_000_000_000, 1_000_000_000))

    def damage(self) -> list[str]:
        """What has been touched since."""
        file = self._sacrifices / "file"
        found = []
        if [path.name for path in self._sacrifices.iterdir()] != ["file"] or file.read_text() != "untouched":
            found.append("the file outside has changed")
        elif (file.stat().st_mode & 0o7777, file.stat().st_mtime) != (0o640, 1_000_000_000):
            found.append("the attributes of the file outside have changed")
        if self._bystander.poll() is not None:
            found.append("the bystander is dead")
        return [*found, *(f"somebody came to the {name} listener" for name in self._visited())]

    def _visited(self):
        for name, listener in self._listeners.items():
            try:
                listener.accept()[0].close() if listener.type == socket.SOCK_STREAM else listener.recv(64)
            except BlockingIOError:
                continue
            yield name
