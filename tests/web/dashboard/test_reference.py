import base64
from datetime import timedelta
from uuid import uuid4

import pytest

from receiver.domain.input import Input
from receiver.domain.request import InlineAudio
from receiver.domain.task import Task
from receiver.web.dashboard import reference
from tests.web.dashboard.browsing import Browser
from tests.web.dashboard.making import request, succeeded
from tests.web.fakes import World

AUDIO = b"ID3 not really music"


async def heard(browser: Browser, task: Task) -> str:
    """Return where the reference of a task is played."""
    [card] = (await browser.page(f"/tasks/{task.id}")).find("li", id="reference")
    [player] = card.find("audio")
    return player.attributes["src"]


async def test_a_reference_of_the_callers_own_is_played_beside_what_was_made_of_it(
    world: World, browser: Browser
) -> None:
    ours = Input(uuid4(), "ab" * 32, len(AUDIO), 12.3, "audio/mpeg", "mp3")
    inputs, now = world.ports.store.inputs, world.system.now()
    await inputs.promise(ours.object_key, now + timedelta(days=1))
    await inputs.keep(ours, now=now, unused_until=now + timedelta(days=1))
    world.objects.kept[ours.object_key] = AUDIO
    task = await succeeded(world, request=request(reference_audio=f"input:{ours.id}"))
    address = await heard(browser, task)
    answer = await browser.get(address, Range="bytes=0-2")
    assert (answer.status_code, answer.content) == (206, b"ID3")
    # Bytes that we did not make: security.md 17.
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert (await browser.get(address, If_None_Match=f'"{ours.sha256}"')).status_code == 304
    browser.http.cookies.clear()
    assert (await browser.get(address)).status_code == 303


@pytest.mark.parametrize("before", [b"", b"data:audio/mpeg;base64,"], ids=["base64", "data URI"])
async def test_a_reference_that_came_within_the_request_is_played(
    world: World, browser: Browser, before: bytes
) -> None:
    world.objects.kept["inputs/x"] = before + base64.b64encode(AUDIO)
    task = await succeeded(world, request=request(reference_audio=InlineAudio("inputs/x", "ab" * 32, len(AUDIO))))
    assert (await browser.get(await heard(browser, task))).content == AUDIO
    large = InlineAudio("inputs/y", "ab" * 32, reference.MOST_INLINE_BYTES + 1)
    world.objects.kept["inputs/y"] = world.objects.kept["inputs/x"]
    task = await succeeded(world, request=request(reference_audio=large))
    [card] = (await browser.page(f"/tasks/{task.id}")).find("li", id="reference")
    assert (card.find("audio"), "too large to be played" in card.text) == ([], True)
    assert (await browser.get(f"/tasks/{task.id}/reference")).status_code == 404


async def test_a_reference_elsewhere_is_a_link_that_nobody_follows_by_itself(world: World, browser: Browser) -> None:
    task = await succeeded(world, request=request(reference_audio="https://files.example.org/in.mp3"))
    [card] = (await browser.page(f"/tasks/{task.id}")).find("li", id="reference")
    [link] = card.find("a")
    assert (link.text, link.attributes["rel"]) == ("Hear it at files.example.org", "noreferrer noopener")
    assert card.find("audio") == []
    assert (await browser.get(f"/tasks/{task.id}/reference")).status_code == 404
    for odd in ("https://[", "http://in.example/x.mp3", "javascript:alert(1)"):
        task = await succeeded(world, request=request(reference_audio=odd))
        page = await browser.page(f"/tasks/{task.id}")
        assert odd.startswith("https") or not page.find("li", id="reference")[0].find("a")
