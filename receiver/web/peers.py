"""Whom a connection or a request is counted against."""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

#: What one customer of an IPv6 network usually holds.
_IPV6_PREFIX = 64


def counted_as(host: str) -> str:
    """Return the address itself, for IPv6 the network around it; what is no address counts as it is."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
    return host


def is_loopback(host: str) -> bool:
    """Tell whether an address is one of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def trusting(networks: str) -> Callable[[str], bool]:
    """Return what tells a peer that speaks for others: one on this machine, or in a network of the comma list."""
    trusted = [ip_network(network) for network in networks.split(",") if network]

    def speaks_for_all(host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in trusted)

    return speaks_for_all
