"""Which addresses are public, and what an entry of the allow-list permits."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.outbound.addresses import AllowedHosts, Purpose, is_public, needs_exact_entry, refusal

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_the_public_internet_is_told_apart(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "223.255.255.254", "2606:4700:4700::1111", "2a00:1450::1"]
)
def test_an_ordinary_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_public_address_has_a_special_meaning(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        special = (
            address.is_private,
            address.is_loopback,
            address.is_link_local,
            address.is_multicast,
            address.is_reserved,
            address.is_unspecified,
        )
        assert not any(special)
        assert not needs_exact_entry(address)


@given(st.ip_addresses(v=4))
def test_no_wrapped_ipv4_address_is_public(inner: IPv4Address) -> None:
    wraps = [f"::ffff:{inner}", f"::{inner}", f"64:ff9b::{inner}", str(IPv6Address(0x2002 << 112 | int(inner) << 80))]
    assert not any(is_public(ip_address(wrap)) for wrap in wraps)


@pytest.mark.parametrize(
    ("text", "at_fault"),
    [
        ("localhost,,bad host", "bad host"),
        ("localhost:0", "localhost:0"),
        ("localhost:65536", "localhost:65536"),
        ("localhost:http", "localhost:http"),
        ("a, 10.0.0.1/8", "10.0.0.1/8"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("audio=host", "audio=host"),
        ("provider=", "provider="),
        ("http://host", "http://host"),
        ("user@host", "user@host"),
        ("*.example.com", "*.example.com"),
        ("[::1", "[::1"),
        ("[127.0.0.1]:80", "[127.0.0.1]:80"),
        ("host:", "host:"),
        (".", "."),
    ],
)
def test_an_entry_that_is_none_is_refused_by_name(text: str, at_fault: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        AllowedHosts.parse(text)
    assert repr(at_fault) in str(caught.value)


def test_an_empty_setting_allows_nothing() -> None:
    assert AllowedHosts.parse(" , ").entries == ()


def permits(
    allowed: str,
    host: str,
    port: int,
    address: str,
    *,
    purpose: Purpose = Purpose.PROVIDER,
    providers: frozenset[str] = frozenset(),
) -> bool:
    """Whether plain http to a host at this address is permitted."""
    entries = AllowedHosts.parse(allowed).for_call(purpose, host, providers)
    return refusal(entries, host, port, secure=False, address=ip_address(address)) is None


@pytest.mark.parametrize(
    ("allowed", "host", "port", "address"),
    [
        ("localhost", "localhost", 9090, "127.0.0.1"),
        ("LocalHost.:9090", "localhost", 9090, "::1"),
        ("127.0.0.1:9090", "127.0.0.1", 9090, "127.0.0.1"),
        ("127.0.0.1:9090", "localhost", 9090, "127.0.0.1"),
        ("10.0.0.0/8", "sandbox", 80, "10.9.8.7"),
        ("::1", "localhost", 80, "::1"),
        ("[::1]", "localhost", 80, "::1"),
        ("[fd00::7]:8080", "fd00::7", 8080, "fd00::7"),
        ("fd00::/8", "sandbox", 80, "fd12::1"),
        ("169.254.1.2", "169.254.1.2", 80, "169.254.1.2"),
        ("other, provider=sandbox", "sandbox", 80, "10.0.0.1"),
        ("cdn.example:8443", "cdn.example", 8443, "93.184.215.14"),
    ],
)
def test_an_entry_permits_http_and_private_addresses_where_it_says(
    allowed: str, host: str, port: int, address: str
) -> None:
    assert permits(allowed, host, port, address)


@pytest.mark.parametrize(
    ("allowed", "host", "port", "address"),
    [
        ("", "localhost", 80, "127.0.0.1"),
        ("localhost:9090", "localhost", 9091, "127.0.0.1"),
        ("localhost", "local-host", 80, "127.0.0.1"),
        ("10.0.0.0/8", "sandbox", 80, "11.0.0.1"),
        ("127.0.0.1", "evil", 80, "::ffff:127.0.0.1"),
        ("metadata", "metadata", 80, "169.254.169.254"),
        ("169.254.0.0/16", "metadata", 80, "169.254.169.254"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "169.254.169.254"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "fe80::1"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "::ffff:169.254.169.254"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "64:ff9b::a9fe:a9fe"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "2002:a9fe:a9fe::"),
        ("0.0.0.0/0, ::/0", "metadata", 80, "fd00:ec2::254"),
        ("0.0.0.0/0", "nowhere", 80, "0.0.0.0"),
        ("media=localhost", "localhost", 80, "127.0.0.1"),
        ("notify=localhost", "localhost", 80, "127.0.0.1"),
    ],
)
def test_an_entry_permits_nothing_beyond_what_it_says(allowed: str, host: str, port: int, address: str) -> None:
    assert not permits(allowed, host, port, address)


def test_an_entry_without_a_purpose_is_for_media_only_at_the_host_of_a_provider() -> None:
    providers = frozenset({"sandbox"})
    for allowed in ("sandbox", "10.0.0.0/8"):
        assert permits(allowed, "sandbox", 80, "10.0.0.1", purpose=Purpose.MEDIA, providers=providers)
        assert not permits(allowed, "sandbox", 80, "10.0.0.1", purpose=Purpose.MEDIA)
    assert not permits("10.0.0.0/8", "evil", 80, "10.0.0.1", purpose=Purpose.MEDIA, providers=providers)
    assert not permits("sandbox,other", "other", 80, "10.0.0.1", purpose=Purpose.MEDIA, providers=providers)


def test_an_entry_with_a_purpose_is_for_that_purpose_alone() -> None:
    for meant in Purpose:
        for asked in Purpose:
            permitted = permits(f"{meant}=cdn:81", "cdn", 81, "10.0.0.1", purpose=asked, providers=frozenset({"cdn"}))
            assert permitted == (meant is asked)


def test_an_entry_without_a_purpose_is_for_the_users_endpoints_too() -> None:
    assert permits("app:3000", "app", 3000, "10.0.0.1", purpose=Purpose.NOTIFY)


@pytest.mark.parametrize(
    ("port", "secure", "address", "reason"),
    [
        (443, True, "93.184.215.14", None),
        (443, True, "10.0.0.1", "the address is not public"),
        (8443, True, "93.184.215.14", "only port 443 is allowed"),
        (443, False, "93.184.215.14", "only https is allowed"),
    ],
)
def test_without_an_entry_only_https_to_443_at_public_addresses_is_left(
    port: int, secure: bool, address: str, reason: str | None
) -> None:
    assert refusal((), "h", port, secure=secure, address=ip_address(address)) == reason
