from datetime import datetime, timedelta
from typing import Any, cast

from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.task import Status, Work
from receiver.lifecycle.ports import Pause
from tests.web.dashboard.browsing import Browser, Element
from tests.web.dashboard.making import made
from tests.web.fakes import Calls, World


async def ended(world: World, status: Status, at: datetime, count: int = 1, **fields: Any) -> None:  # noqa: ANN401 - fields of a Task
    for _ in range(count):
        await made(world, status=status, submitted_at=at, completed_at=at, **fields)


def figure(page: Element, words: str) -> str:
    """Return one of the large figures."""
    [shown] = [each for each in page.find("dt") if each.text == words]
    [group] = [each for each in page.find("div") if shown in each.children]
    return group.find("dd", class_="value")[0].text


async def test_an_empty_installation_says_what_to_do(browser: Browser) -> None:
    page = await browser.page("/")
    assert "No task has been asked for yet" in page.text
    assert page.find("code", class_="command")[0].text.startswith("receiver submit runware --prompt")
    assert [figure(page, words) for words in ("In flight", "Overdue", "With audio", "Without")] == ["0"] * 4
    assert figure(page, "Callbacks missed") == "–"


async def test_the_figures_are_those_of_the_store(world: World, browser: Browser) -> None:
    now = world.system.now()
    await made(world)
    await made(world, status=Status.SUBMITTED, work=Work.POLL, due_at=now - timedelta(seconds=90), overdue=True)
    await ended(world, Status.SUCCEEDED, now - timedelta(minutes=3), 3)
    await ended(world, Status.FAILED, now - timedelta(minutes=4), 2)
    await ended(world, Status.LOST, now - timedelta(hours=3))
    page = await browser.page("/")
    told = [figure(page, words) for words in ("In flight", "Overdue", "With audio", "Without")]
    assert told == ["2", "1", "3", "2"]
    assert "90 s late" in page.text or "1 min 30 s late" in page.text
    [plot] = page.find("svg", role="img")
    assert plot.attributes["aria-label"].startswith("5 tasks ended in the last hour: 3 succeeded")
    assert len(plot.find("rect")) == 2
    page = await browser.page("/?over=day")
    assert figure(page, "Without") == "3"


async def test_a_provider_that_rests_is_named_with_the_reason_and_the_end(world: World, browser: Browser) -> None:
    until = world.system.now() + timedelta(minutes=10)
    error = TaskError(ErrorCode.BALANCE, "<b>no money</b>")
    await world.ports.store.pause(Pause("runware", until, error))
    page = await browser.page("/")
    assert "runware is paused until 12:10:00 (in 10 min): <b>no money</b>" in page.text
    assert "paused: balance" in page.text
    world.system.passed += 601
    assert "is paused" not in (await browser.page("/")).text


async def test_a_provider_that_cannot_be_reached_is_not_said_to_take_tasks(world: World, browser: Browser) -> None:
    assert (await browser.page("/")).text.count("takes tasks") == 2
    cast("Calls", world.ports.outbound).troubles["runware"] = "api.example: no connection"
    world.system.passed += 2
    overview, providers = await browser.page("/"), await browser.page("/providers")
    assert [page.text.count("takes tasks") for page in (overview, providers)] == [1, 1]
    assert "last call failed" in overview.text
    assert "api.example: no connection" in providers.text


async def test_what_ended_without_audio_comes_first_and_says_why(world: World, browser: Browser) -> None:
    error = TaskError(ErrorCode.MODERATION, "not <i>this</i> song")
    now = world.system.now()
    failed = await made(world, status=Status.FAILED, completed_at=now, errors=(error,))
    await made(world)
    page = await browser.page("/")
    [link] = page.find("a", href=f"/tasks/{failed.id}")
    assert link.text == "bossa nova, nylon guitar"
    assert "not <i>this</i> song" in page.text


async def test_a_stretch_of_time_that_does_not_exist_is_the_usual_one(browser: Browser) -> None:
    page = await browser.page("/?over=century&x=1")
    assert [each.text for each in page.find("a", aria_current="true")] == ["last hour"]


async def test_one_look_serves_all_who_ask_within_a_second(world: World, browser: Browser) -> None:
    await browser.page("/")
    await made(world)
    assert figure(await browser.page("/"), "In flight") == "0"
    world.system.passed += 1
    assert figure(await browser.page("/"), "In flight") == "1"
