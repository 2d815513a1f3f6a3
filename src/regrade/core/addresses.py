"""Which addresses strangers may make this server connect to: public ones, and what the operator allows."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What Python's own tables, which change from version to version, may take for public.
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",  # between a provider and its customers; some clouds' metadata
            "168.63.129.16/32",  # Azure's own services, seen from every virtual machine
            "192.0.0.0/24",  # protocols; some clouds' metadata
            "64:ff9b:1::/48",  # a network's own translation to IPv4
            "2001::/32",  # Teredo, which tunnels to IPv4
            "2002::/16",  # 6to4, which tunnels to IPv4
            "fec0::/10",  # what private addresses were before
        ),
    )
)
# IPv6 addresses whose last 32 bits are the IPv4 address that is meant: old forms, mapped ones, translated ones.
_IPV4_INSIDE = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_IPV4_BITS = 0xFFFF_FFFF
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


def is_public(address: Address) -> bool:
    """Whether it lies on the internet, and in nobody's own network, machine or cloud."""
    address = _meant(address)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NOT_PUBLIC)
    )


def parse(text: str) -> Address | None:
    """The address that a text is; None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts and networks that strangers may name although they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> Self:
        """From names, addresses, and networks such as 10.0.0.0/8. Raises ValueError."""
        hosts: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            if "/" in entry or parse(entry) is not None:
                networks.append(ip_network(entry))
            elif entry and not set(entry.lower()) - _NAME:
                hosts.add(entry.lower())
            else:
                raise ValueError(f"{entry!r} is neither a network nor a host")
        return cls(frozenset(hosts), tuple(networks))

    def __contains__(self, address: Address) -> bool:
        return any(_meant(address) in network for network in self.networks)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            address = IPv6Address(int(address))
        if any(address in network for network in _IPV4_INSIDE) and address != _LOOPBACK:
            return IPv4Address(int(address) & _IPV4_BITS)
    return address


_LOOPBACK = IPv6Address("::1")
