"""Reaching anything but the server's own pipes. The listeners are planted, and count who comes."""

from sandbox.attacks.attack import SYSTEM_CALL, Attack, python, system_call

_CONNECT = """
import socket
def attack(targets):
    with socket.socket({kind}) as connection:
        connection.settimeout(2)
        connection.connect({address})
    return True
"""
_SEND = """
import socket
def attack(targets):
    with socket.socket({kind}) as sender:
        return sender.sendto(b"hello", {address}) == 5
"""

SOCKETS = {
    "tcp4": _CONNECT.format(kind="socket.AF_INET", address='("127.0.0.1", targets["tcp4"])'),
    "unix": _CONNECT.format(kind="socket.AF_UNIX", address='targets["unix"]'),
    "abstract": _CONNECT.format(kind="socket.AF_UNIX", address='"\\0" + targets["abstract"]'),
    "udp": _SEND.format(kind="socket.AF_INET, socket.SOCK_DGRAM", address='("127.0.0.1", targets["udp"])'),
    "abstract_datagram": _SEND.format(
        kind="socket.AF_UNIX, socket.SOCK_DGRAM", address='"\\0" + targets["abstract_datagram"]'
    ),
    "urllib": """
import urllib.request
def attack(targets):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{targets['tcp4']}/", timeout=0.2)
    except TimeoutError:
        return True
""",
    "raw_call": SYSTEM_CALL
    + """
def attack(targets):
    handle = call(targets["nr"]["socket"], 2, 1, 0)
    address = struct.pack("=H", 2) + struct.pack("!H", targets["tcp4"]) + bytes([127, 0, 0, 1]) + bytes(8)
    return call(targets["nr"]["connect"], handle, address, len(address)) == 0
""",
    "listen": """
import socket
def attack(targets):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
    return True
""",
    "listen_abstract": """
import os, socket
def attack(targets):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\\0regrade-{os.getpid()}")
        listener.listen()
    return True
""",
    "socketpair_datagram_to_abstract": """
import socket
def attack(targets):
    mine, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return mine.sendto(b"hello", "\\0" + targets["abstract_datagram"]) == 5
""",
    "socketpair_stream_passes_descriptors": """
import array, os, socket
def attack(targets):
    mine, other = socket.socketpair()
    number = array.array("i", [os.open("/dev/null", os.O_RDONLY)])
    mine.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
    return len(other.recvmsg(1, 64)[1]) == 1
""",
    "netlink": """
import socket
def attack(targets):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    return True
""",
}

OUTWARD = {
    "tcp6": _CONNECT.format(kind="socket.AF_INET6", address='("::1", targets["tcp6"])'),
    "metadata_service": _SEND.format(kind="socket.AF_INET, socket.SOCK_DGRAM", address='("169.254.169.254", 80)'),
    "vsock": _CONNECT.format(kind="socket.AF_VSOCK", address="(2, 1)"),
    "packets": """
import socket
def attack(targets):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    return True
""",
    "bluetooth": """
import socket
def attack(targets):
    socket.socket(31, socket.SOCK_RAW).close()
    return True
""",
    "alg": """
import socket
def attack(targets):
    socket.socket(38, socket.SOCK_SEQPACKET).close()
    return True
""",
    "dns": """
import socket
def attack(targets):
    return len(socket.getaddrinfo("example.com", 80)) > 0
""",
}

ATTACKS: tuple[Attack, ...] = (
    *python("network", SOCKETS),
    *python("network", OUTWARD, "depends"),
    *(
        system_call(f"{name}_call", f'call(nr["{name}"], -1, 0, 0, 0, 0, 0)', group="network")
        for name in ("connect", "bind", "listen", "accept", "accept4", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
                     "setsockopt", "getsockopt", "getpeername")
    ),
)  # fmt: skip
