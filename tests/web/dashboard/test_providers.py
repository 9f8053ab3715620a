from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.report import Via
from receiver.domain.request import TaskRequest
from receiver.domain.task import Change, Status
from receiver.lifecycle.planning import Learning
from receiver.lifecycle.ports import Pause, Provider
from receiver.providers import PROVIDERS
from receiver.web.dashboard.words import span
from tests.web.dashboard.browsing import Browser, Element, browsing
from tests.web.dashboard.making import made
from tests.web.dashboard.test_overview import figure
from tests.web.fakes import World, a_result


def adapters() -> dict[str, Provider]:
    """The real ones, with keys."""
    return {
        name: entry.build({option.name: option.default for option in entry.options}, "key")
        for name, entry in PROVIDERS.items()
    }


@pytest.fixture
async def world(world: World) -> World:
    world.ports = replace(world.ports, providers=adapters())
    return world


async def songs(world: World, count: int, *, seconds: float = 30.0, callbacks: int = 1) -> None:
    """Tasks that ended, each a little later than the one before."""
    now = world.system.now()
    for number in range(count):
        begun = now - timedelta(minutes=60 - number)
        result = replace(a_result(), via=Via.CALLBACK if callbacks else Via.POLL)
        await made(
            world,
            status=Status.SUCCEEDED,
            pushed=True,
            submitted_at=begun,
            settled_at=begun + timedelta(seconds=seconds + number / 10),
            completed_at=begun + timedelta(seconds=seconds + 1 + number / 10),
            polls=2,
            callbacks=callbacks,
            results=(result,),
        )


def of_runware(page: Element) -> Element:
    [section] = page.find("section", aria_labelledby="of-runware")
    return section


async def test_a_provider_without_a_key_says_how_to_give_it_one(world: World) -> None:
    entry = PROVIDERS["runware"]
    built = entry.build({option.name: option.default for option in entry.options}, None)
    world.ports = replace(world.ports, providers={"runware": built})
    async with browsing(world) as browser:
        await browser.sign_in()
        page = await browser.page("/providers")
    assert page.find("code", class_="command")[0].text == "export RUNWARE_API_KEY=…"


async def test_without_a_public_address_nobody_is_said_to_call_back(world: World) -> None:
    async with browsing(world) as browser:
        await browser.sign_in()
        assert "calls back, and is looked at besides" in of_runware(await browser.page("/providers")).text
        assert "callback, and our own look" in (await browser.page("/")).text
    world.ports = replace(world.ports, limits=replace(world.ports.limits, public_url=None))
    await made(world, status=Status.SUCCEEDED, submitted_at=world.system.now(), completed_at=world.system.now())
    async with browsing(world) as browser:
        await browser.sign_in()
        page = await browser.page("/providers")
        assert "is only looked at: no public address is set for it to call back to" in of_runware(page).text
        assert "never calls back: it is asked" in page.find("section", aria_labelledby="of-aimlapi")[0].text
        overview = (await browser.page("/")).text
    assert "our own look: no public address is set" in overview
    assert "callback, and our own look" not in overview


@pytest.mark.parametrize("public_url", ["https://hooks.example.org", None])
async def test_the_first_look_is_that_of_a_task_with_a_callback_only_where_one_can_come(
    world: World, public_url: str | None
) -> None:
    adapter = world.ports.providers["runware"]
    plans = [adapter.plan(TaskRequest("runware", "", "", model="m"), pushed=pushed).first for pushed in (True, False)]
    world.ports = replace(world.ports, limits=replace(world.ports.limits, public_url=public_url))
    await songs(world, 1)
    async with browsing(world) as browser:
        await browser.sign_in()
        text = of_runware(await browser.page("/providers")).text
    assert plans[0] != plans[1]
    assert f"the first look comes after {span(plans[public_url is None])}" in text


async def test_why_and_until_when_a_provider_takes_nothing_is_told(world: World, browser: Browser) -> None:
    until = world.system.now() + timedelta(seconds=90)
    await world.ports.store.pause(Pause("runware", until, TaskError(ErrorCode.BALANCE, "no <money> left")))
    page = await browser.page("/providers")
    assert "paused: balance" in page.text
    assert "It takes nothing from us until 12:01:30 (in 1 min): no <money> left" in page.text
    world.system.passed += 100
    assert "paused" not in (await browser.page("/providers")).text


async def test_until_enough_has_ended_nothing_is_said_to_be_learned(world: World, browser: Browser) -> None:
    await songs(world, 19)
    page = await browser.page("/providers")
    assert "that takes 20 tasks that ended. Until then the first look comes after 2 min 00 s" in page.text
    assert figure(of_runware(page), "Ended") == "19"


async def test_how_long_a_model_takes_is_drawn_and_told(world: World, browser: Browser) -> None:
    await songs(world, 50)
    page = await browser.page("/providers")
    [drawing] = page.find("svg", class_="plot")
    assert drawing.attributes["aria-label"].startswith("Half of the tasks have ended after 32")
    assert len(drawing.find("rect", class_="wait")) > 5
    assert [figure(of_runware(page), words) for words in ("Callbacks missed", "Looks at a task", "Cost")] == [
        "0 %",
        "2.0",
        "$7.50",
    ]
    assert "$0.15" in page.text


async def test_callbacks_that_fail_to_come_are_told(world: World, browser: Browser) -> None:
    await songs(world, 20, callbacks=0)
    page = await browser.page("/providers")
    assert "Callbacks fail to come: of 100 % of its latest tasks none told." in page.text
    assert figure(of_runware(page), "Callbacks missed") == "100 %"


async def test_adopted_generations_have_a_line_without_a_model(world: World, browser: Browser) -> None:
    now = world.system.now()
    known = await made(world)
    nameless = replace(
        known, key=world.system.new_key(), id=uuid4(), model="", status=Status.FAILED, completed_at=now
    )
    await world.ports.store.create(Change(nameless))
    page = await browser.page("/providers")
    assert "not known (adopted)" in page.text
    assert page.find("figure") == []


async def test_what_a_page_learned_serves_all_who_ask_for_some_seconds(world: World, browser: Browser) -> None:
    await browser.page("/providers")
    await songs(world, 1)
    assert figure(of_runware(await browser.page("/providers")), "Ended") == "0"
    world.system.passed += 5
    assert figure(of_runware(await browser.page("/providers")), "Ended") == "1"


async def test_what_was_learned_serves_for_half_a_minute_and_is_then_learned_anew(
    world: World, browser: Browser
) -> None:
    await songs(world, 20)
    [before] = (await browser.page("/providers")).find("svg", class_="plot")
    await songs(world, 50, seconds=90.0)
    world.system.passed += 20
    [meanwhile] = (await browser.page("/providers")).find("svg", class_="plot")
    assert meanwhile.attributes["aria-label"] == before.attributes["aria-label"]
    world.system.passed += 10
    [after] = (await browser.page("/providers")).find("svg", class_="plot")
    assert after.attributes["aria-label"].startswith("Half of the tasks have ended after 1 min")


async def test_the_looks_that_are_drawn_are_those_the_worker_of_this_process_goes_by(
    world: World, browser: Browser
) -> None:
    await songs(world, 50)
    await Learning().learn(world.ports)
    [(name, learned)] = world.ports.schedules.learned.items()
    world.ports.schedules.learned = {name: replace(learned, tasks=7, nearly_all=200.0)}
    page = await browser.page("/providers")
    assert "the first look comes after 3 min 30 s" in page.find("svg", class_="plot")[0].attributes["aria-label"]
