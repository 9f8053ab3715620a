"""Which addresses are public, and which others the user allows (``RECEIVER_ALLOWED_PRIVATE_HOSTS``)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HTTPS_PORT = 443
_HIGHEST_PORT = 65535
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

# Counted as global by ``ipaddress`` of Python 3.11, and yet not the public internet.
_NOT_PUBLIC_V4 = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments (RFC 6890)
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    IPv4Network("224.0.0.0/4"),  # multicast
)
# All of public IPv6 lies in here. Outside of it are mapped, compatible and NAT64 forms of IPv4 addresses, unique
# and site local, link local, multicast, loopback.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),  # IETF protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
_CARRYING_V4_IN_THE_LAST_BITS = (
    IPv6Network("::/96"),  # IPv4-compatible (RFC 4291)
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
# Cloud machines hand out their credentials here; only the first is link-local.
_METADATA = frozenset({IPv4Address("169.254.169.254"), IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254")})


class Purpose(StrEnum):
    """Why we call somebody; the value is the prefix of an allowed host."""

    PROVIDER = "provider"
    MEDIA = "media"
    NOTIFY = "notify"


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, in its own right and not as a wrapping of another."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)
    in_global_unicast = address.is_global and address in _GLOBAL_UNICAST_V6
    return in_global_unicast and not any(address in network for network in _NOT_PUBLIC_V6)


def needs_exact_entry(address: Address) -> bool:
    """Tell whether an address is reached only if the user wrote out exactly this one, not a name or a network."""
    forms = (address, *_carried(address))
    return any(form.is_link_local or form.is_multicast or form.is_unspecified or form in _METADATA for form in forms)


def _carried(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address wraps."""
    if isinstance(address, IPv4Address):
        return
    if any(address in network for network in _CARRYING_V4_IN_THE_LAST_BITS) and int(address) > 1:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of the setting. Either ``name`` or ``network`` is set; None for ``port`` or ``purpose`` means any."""

    name: str | None
    network: Network | None
    port: int | None
    purpose: Purpose | None

    def covers(self, host: str, port: int, address: Address) -> bool:
        """Tell whether this entry permits connecting to ``address``, which ``host`` resolved to."""
        if not self.may_cover(host, port):
            return False
        if self.network is None:
            return not needs_exact_entry(address)
        is_exact = self.network.num_addresses == 1
        return address in self.network and (is_exact or not needs_exact_entry(address))

    def may_cover(self, host: str, port: int) -> bool:
        """Tell whether this entry can apply at all, before the host is resolved."""
        return self.port in {None, port} and self.name in {None, host}


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts where http, other ports and addresses that are not public are permitted."""

    entries: tuple[AllowedHost, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a comma list of ``[provider=|media=|notify=]`` and host, host:port, address, CIDR or ``[v6]:port``.

        Raises ValueError with the entry at fault.
        """
        items = (item.strip() for item in text.split(","))
        return cls(tuple(_entry(item) for item in items if item))

    def for_call(self, purpose: Purpose, host: str, provider_hosts: frozenset[str]) -> tuple[AllowedHost, ...]:
        """Return the entries that count when ``host`` is called for ``purpose``.

        An entry without a purpose is meant for what the user configures; media links are written by others, so for
        them it counts only where the link's host is also that of a provider's URL.
        """
        any_purpose = purpose is not Purpose.MEDIA or host in provider_hosts
        return tuple(
            entry for entry in self.entries if entry.purpose is purpose or (entry.purpose is None and any_purpose)
        )


def refusal(entries: Iterable[AllowedHost], host: str, port: int, *, secure: bool, address: Address) -> str | None:
    """Say why ``address`` must not be connected to, or None when it may be."""
    if any(entry.covers(host, port, address) for entry in entries):
        return None
    reason = refusal_before_resolving((), host, port, secure=secure)
    if reason is None and not is_public(address):
        return "the address is not public"
    return reason


def refusal_before_resolving(entries: Iterable[AllowedHost], host: str, port: int, *, secure: bool) -> str | None:
    """Say why a host must not be called whatever its addresses are, or None."""
    if any(entry.may_cover(host, port) for entry in entries):
        return None
    if not secure:
        return "only https is allowed"
    return None if port == HTTPS_PORT else f"only port {HTTPS_PORT} is allowed"


def _entry(item: str) -> AllowedHost:
    prefix, equals, rest = item.rpartition("=")
    try:
        purpose = Purpose(prefix.strip()) if equals else None
        return _host_entry(rest.strip().lower(), purpose)
    except ValueError:
        message = f"{item!r} is not host, host:port, an address, CIDR or [v6]:port, with provider=, media= or notify="
        raise ValueError(message) from None


def _host_entry(text: str, purpose: Purpose | None) -> AllowedHost:
    bracketed = re.fullmatch(r"\[(?P<address>[^]]+)\](?::(?P<port>\d{1,5}))?", text, re.ASCII)
    if bracketed:
        network: Network = IPv6Network(bracketed["address"])
        return AllowedHost(None, network, _port(bracketed["port"]), purpose)
    if "/" in text or text.count(":") > 1:
        return AllowedHost(None, ip_network(text), None, purpose)
    host, colon, port = text.partition(":")
    number = _port(port) if colon else None
    try:
        network = ip_network(ip_address(host))
    except ValueError:
        return AllowedHost(_name(host), None, number, purpose)
    return AllowedHost(None, network, number, purpose)


def _name(text: str) -> str:
    name = text.rstrip(".")
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(text)
    return name


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT):
        raise ValueError(text)
    return int(text)
