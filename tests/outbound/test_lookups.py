"""A name is looked up only for a link that some address could make right: to ask for it tells its owner of us."""

from pathlib import Path

import pytest

from receiver.domain.errors import MediaRefusedError, NotSentError
from receiver.domain.exchange import HttpRequest
from tests.outbound.fakes import PUBLIC, Names, Wires, outbound_on

NEVER_RIGHT = ["http://cdn.example/a", "https://cdn.example:8443/a", "https://user:secret@cdn.example/a"]


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("link", NEVER_RIGHT)
async def test_no_name_is_looked_up_for_a_link_that_no_address_could_make_right(tmp_path: Path, link: str) -> None:
    names, wires = Names(), Wires()
    names.set("cdn.example", [PUBLIC])
    async with outbound_on(names, wires) as outbound:
        with pytest.raises(MediaRefusedError):
            await outbound.fetch(link, tmp_path / "x", max_bytes=1, timeout_seconds=5)
        with pytest.raises(NotSentError):
            await outbound.send("runware", HttpRequest("GET", link, {}, None, 5))
    assert (names.asked, wires.connected) == ([], [])


@pytest.mark.parametrize("location", NEVER_RIGHT)
async def test_nor_for_one_that_a_redirect_leads_to(tmp_path: Path, location: str) -> None:
    names, wires = Names(), Wires({PUBLIC: redirect(location)})
    names.set("first.example", [PUBLIC])
    names.set("cdn.example", [PUBLIC])
    async with outbound_on(names, wires) as outbound:
        with pytest.raises(MediaRefusedError):
            await outbound.fetch("https://first.example/a", tmp_path / "x", max_bytes=1, timeout_seconds=5)
    assert names.asked == ["first.example"]
