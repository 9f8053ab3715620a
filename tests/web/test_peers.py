"""Whose connections are bounded one by one, and who speaks for others."""

import pytest

from receiver.web.peers import trusting


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "172.31.250.2", "2001:db8::7"])
def test_this_machine_and_the_named_networks_speak_for_all(host: str) -> None:
    assert trusting("172.31.250.0/28,2001:db8::/64")(host)


@pytest.mark.parametrize("host", ["172.31.250.16", "203.0.113.9", "2001:db8:0:1::7", "", "unix"])
def test_nobody_else_does(host: str) -> None:
    assert not trusting("172.31.250.0/28,2001:db8::/64")(host)
    assert not trusting("")(host)
