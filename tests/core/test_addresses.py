"""Whom strangers may make this server connect to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.addresses import Allowed, is_public


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "192.167.0.1", "100.63.0.1", "100.128.0.1"),
        *("2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_the_internet_is_public(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.255.255.254", "::1"),  # this machine
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"),  # private
        *("169.254.0.1", "fe80::1", "fe80::1%eth0"),  # link-local
        *("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),  # metadata
        *("224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"),  # multicast
        *("0.0.0.0", "0.1.2.3", "::", "255.255.255.255", "240.0.0.1"),  # nobody, everybody, reserved
        *(
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
        ),  # shared, examples
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::7f00:1",
        ),  # IPv4 inside
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1234::1"),  # translated and tunnelled
        *("fec0::1", "5f00::1"),
    ],
)
def test_everything_else_is_not(text):
    assert not is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_as_public_inside_an_ipv6_address_as_alone(address):
    for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
        inside = IPv6Address(int(IPv6Address(prefix)) | int(address))
        if inside != IPv6Address("::1"):
            assert is_public(inside) == is_public(address)


@given(st.ip_addresses(network="10.1.0.0/16"), st.ip_addresses(v=4))
def test_what_the_operator_names_is_allowed_and_nothing_beyond(inside, any_address):
    allowed = Allowed.read(["Hooks.Internal", "10.1.0.0/16", "fd00::/8", "127.0.0.1"])
    assert inside in allowed
    assert IPv6Address(f"::ffff:{inside}") in allowed
    assert (any_address in allowed) == (
        any_address == IPv4Address("127.0.0.1") or str(any_address).startswith("10.1.")
    )
    assert allowed.hosts == {"hooks.internal"}


@pytest.mark.parametrize("entry", ["", "10.0.0.1/8", "10.0.0.0/33", "a b", "http://x", "höst"])
def test_what_is_neither_network_nor_host_is_refused(entry):
    with pytest.raises(ValueError, match=r"."):
        Allowed.read([entry])
