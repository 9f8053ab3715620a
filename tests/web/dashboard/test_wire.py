from dataclasses import replace
from datetime import timedelta

import pytest

from receiver.domain.attempt import Attempt, AttemptOutcome
from receiver.domain.report import NewReport, Via
from receiver.domain.task import Change, Status, Work
from receiver.lifecycle import transcript
from receiver.lifecycle.ports import Decision
from receiver.providers import PROVIDERS
from tests.web.dashboard.browsing import Browser, browsing
from tests.web.dashboard.making import called_back, made, succeeded
from tests.web.fakes import World


async def test_what_an_attempt_sent_and_was_answered_is_one_step_away_and_holds_no_secret(
    world: World, browser: Browser
) -> None:
    task = await succeeded(world)
    page = await browser.page(f"/tasks/{task.id}")
    assert page.find("details", id="attempt-1") == []
    sent = b'POST https://api.example.org\nAuthorization: [redacted]\n\n{"prompt":"<b>bossa</b>"}'
    token = world.token(task.key)
    answered = f'HTTP 402\n\n{{"message":"no money","echoed":"{token}","bytes":"\udcff"}}'
    attempt = Attempt(
        1,
        task.created_at,
        task.created_at + timedelta(seconds=1),
        AttemptOutcome.PAUSED,
        402,
        "no money",
        sent,
        answered.encode("utf-8", "surrogateescape"),
    )
    await world.ports.store.apply([Decision(task.key, lambda now: Change(now, attempt=attempt))])
    [shown] = (await browser.page(f"/tasks/{task.id}")).find("details", id="attempt-1")
    assert shown.find("summary")[0].text == "What we sent, and the answer"
    [link] = shown.find("a")
    page = await browser.page(link.attributes["href"])
    assert "turned away for now (HTTP 402)" in page.text
    [wire] = page.find("div", class_="wire")
    words = [each.text for each in wire.find("pre")]
    assert words[0].endswith('{"prompt":"<b>bossa</b>"}')
    assert words[1] == 'HTTP 402 {"message":"no money","echoed":"[redacted]","bytes":"\ufffd"}'
    for wrong in ("2", "0", "x", "9" * 10, "1%20", "%D9%A1", "-1"):
        assert (await browser.get(f"/tasks/{task.id}/attempts/{wrong}")).status_code == 404


@pytest.mark.parametrize("whole_ones", [0, 60])
async def test_a_secret_that_the_end_of_what_is_kept_cuts_in_two_is_not_shown(
    world: World, browser: Browser, whole_ones: int
) -> None:
    task = await succeeded(world)
    token = world.token(task.key)
    # What goes of the whole ones brings the end to the front.
    whole = f"{token} ".encode() * whole_ones
    filled = whole.ljust(transcript.MOST_KEPT - 20, b"w")
    long = (filled + token.encode())[: transcript.MOST_KEPT]
    attempt = Attempt(1, task.created_at, sent=long, answered=long)
    await world.ports.store.apply([Decision(task.key, lambda now: Change(now, attempt=attempt))])
    answer = await browser.get(f"/tasks/{task.id}/attempts/1")
    assert token[:10] not in answer.text
    assert answer.text.count("so much is kept") == 2


async def test_a_look_shows_what_it_asked_and_a_callback_how_it_came(world: World) -> None:
    entry = PROVIDERS["runware"]
    runware = entry.build({option.name: option.default for option in entry.options}, "secret-provider-key")
    world.ports = replace(world.ports, providers={"runware": runware})
    async with browsing(world) as browser:
        await browser.sign_in()
        await _a_look_and_a_callback(world, browser)


async def _a_look_and_a_callback(world: World, browser: Browser) -> None:
    task = await made(world, status=Status.SUBMITTED, provider_task_id="theirs", work=Work.POLL)
    came = await called_back(world, task, b"{}")
    shown = (await browser.page(f"/reports/{came}")).find("div", class_="wire")[0].text
    assert "POST https://hooks.example.org/callbacks/runware/[redacted]" in shown
    assert '{"status":"accepted"}' in shown
    look = NewReport(world.system.new_key(), task.key, "runware", Via.POLL, world.system.now(), b"[]", bytes(32), 2)
    await world.ports.store.apply([Decision(task.key, lambda now: Change(now, report=look))])
    shown = (await browser.page(f"/reports/{look.id}")).find("div", class_="wire")[0].text
    assert "What we asked POST https://api.runware.ai/v1" in shown
    assert '[{"taskType":"getResponse","taskUUID":"theirs"}]' in shown
    assert "secret-provider-key" not in shown
