from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from receiver.domain.delivery import Delivery, DeliveryStatus
from receiver.domain.endpoint import Endpoint
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change, Status, Task, Work
from receiver.lifecycle.ports import Decision, DeliveryFilter, Room
from receiver.web.dashboard.tasks import SHOWN
from tests.web.dashboard.browsing import Browser, Element, browsing, tree
from tests.web.dashboard.making import a_result, called_back, made, request
from tests.web.fakes import World


def listed(page: Element) -> list[str]:
    """The ids of the tasks that a page lists, in its order."""
    rows = [each.attributes.get("id", "") for each in page.find("tr")]
    return [row.removeprefix("task-") for row in rows if row.startswith("task-")]


async def test_without_tasks_the_page_says_how_to_ask_for_one(browser: Browser) -> None:
    page = await browser.page("/tasks")
    assert page.find("code", class_="command")[0].text.startswith("receiver submit runware --prompt")
    page = await browser.page("/tasks?status=failed")
    assert "No task is like that" in page.text
    assert page.find("code", class_="command") == []


async def test_pages_follow_each_other_and_keep_what_was_narrowed_down(world: World, browser: Browser) -> None:
    tasks = [await made(world, status=Status.FAILED, completed_at=world.system.now()) for _ in range(SHOWN + 2)]
    await made(world)
    first = await browser.page("/tasks?status=failed&provider=&metadata=")
    assert listed(first) == [str(task.id) for task in tasks[:1:-1]]
    [older] = first.find("a", rel="next")
    second = await browser.page(older.attributes["href"])
    assert listed(second) == [str(task.id) for task in tasks[1::-1]]
    assert second.find("a", rel="next") == []
    [chosen] = [each for each in second.find("option") if "selected" in each.attributes]
    assert chosen.text == "failed"
    assert [each.attributes["href"] for each in second.find("a") if each.text == "The newest"] == [
        "/tasks?status=failed"
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("status=queued", "ab"),
        ("provider=aimlapi", "c"),
        ("metadata=song%3D42", "b"),
        ("metadata=song%3D43", ""),
        ("after=2026-11-21T11:59", "abc"),
        ("after=2026-11-21T12:00:01", "c"),
        ("before=2026-11-21T12:00:01", "ab"),
        ("after=2026-11-21T13:00:01%2B01:00", "c"),
    ],
)
async def test_tasks_are_narrowed_down(world: World, browser: Browser, query: str, found: str) -> None:
    tasks = {"a": await made(world), "b": await made(world, metadata={"song": "42"})}
    world.system.passed += 60
    tasks["c"] = await made(world, request=request(provider="aimlapi"), status=Status.SUBMITTED)
    page = await browser.page(f"/tasks?{query}")
    assert sorted(listed(page)) == sorted(str(tasks[name].id) for name in found)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status=dreaming", "There is no such state."),
        ("provider=suno", "There is no such provider."),
        ("metadata=song", "Metadata is looked for as name=value."),
        ("after=yesterday", "A time is written as"),
        ("before=0001-01-01T00:00%2B23:59", "A time is written as"),
        ("cursor=xyz", "This page does not exist any more"),
    ],
)
async def test_what_cannot_be_looked_for_is_said_and_stays_in_its_field(
    world: World, browser: Browser, query: str, words: str
) -> None:
    await made(world)
    page = await browser.page(f"/tasks?{query}")
    assert words in page.text
    assert listed(page) == []


async def test_a_task_under_way_says_what_it_waits_for(world: World, browser: Browser) -> None:
    due_at = world.system.now() + timedelta(seconds=30)
    await made(world, status=Status.SUBMITTED, pushed=True, work=Work.POLL, due_at=due_at, overdue=True)
    page = await browser.page("/tasks")
    assert "our next look at runware" in page.text
    assert "overdue" in page.text


async def test_marked_tasks_are_looked_at_together(world: World, browser: Browser) -> None:
    later = world.system.now() + timedelta(hours=1)
    tasks = [await made(world, status=Status.SUBMITTED, work=Work.POLL, due_at=later) for _ in range(3)]
    over = await made(world, status=Status.FAILED, completed_at=later)
    ids = [str(tasks[0].id), str(tasks[2].id), str(over.id), "nonsense", str(uuid4())]
    body = {"csrf": await browser.csrf(), "id": ids, "back": "status=submitted&provider="}
    answer = await browser.http.post("/tasks/refresh", data=body, headers={"Origin": str(browser.http.base_url)})
    assert answer.headers["location"] == "/tasks?status=submitted&looked=2&ended=2"
    found = [await world.ports.store.task(task.id) for task in tasks]
    now = world.system.now()
    assert [task is not None and task.due_at is not None and task.due_at <= now for task in found] == [
        True,
        False,
        True,
    ]
    page = await browser.page(answer.headers["location"])
    assert "2 will be looked at now; 2 had ended already." in page.text
    assert "Nothing was marked" in (await browser.page("/tasks?looked=0&ended=0")).text
    assert "looked at now" not in (await browser.page("/tasks?looked=x&ended=99999999")).text


async def test_a_task_is_found_by_any_id_of_it(world: World, browser: Browser) -> None:
    result = a_result(world, words="6F0C3A6E-audio")
    task = await made(world, provider_task_id="their-id:7", status=Status.SUBMITTED, results=(result,))
    report_id = await called_back(world, task, b"{}")
    await made(world, status=Status.SUBMITTED, results=(a_result(world, words="other"),))
    for text in (task.id, str(task.id).upper(), "their-id:7", result.id, "6F0C3A6E-audio", f"  {report_id} "):
        answer = await browser.http.get("/find", params={"q": str(text)}, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{task.id}"), text


async def test_a_task_is_found_by_the_id_that_an_application_was_told_under(world: World, browser: Browser) -> None:
    outbox, now = world.ports.store.outbox, world.system.now()
    await outbox.add_endpoint(Endpoint(world.system.new_id(), "https://app.example.org/hooks", now))
    task = await made(world, status=Status.FAILED, completed_at=now)
    event = Event(EventType.TASK_FAILED, now)
    await world.ports.store.apply([Decision(task.key, lambda task: Change(task, (event,)))])
    [delivery] = await outbox.deliveries(DeliveryFilter(task_id=task.id))
    answer = await browser.http.get("/find", params={"q": str(delivery.id)}, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tasks/{task.id}")


async def test_an_id_that_several_tasks_have_shows_all_of_them(world: World, browser: Browser) -> None:
    tasks = [await made(world, status=Status.SUBMITTED, results=(a_result(world, words="same"),)) for _ in range(2)]
    page = await browser.page("/find?q=same")
    links = [each.attributes["href"] for each in page.find("a") if each.attributes["href"].startswith("/tasks/")]
    assert links == [f"/tasks/{task.id}" for task in tasks[::-1]]


@pytest.mark.parametrize(
    "text", ["nothing", "<b>x</b>", "5f0c3a6e-7c5d-4a44-9b6e-0d9d3f1f6a11", "x" * 5000, "\x00", "’"]
)
async def test_an_id_of_nothing_says_where_was_looked(browser: Browser, text: str) -> None:
    answer = await browser.http.get("/find", params={"q": text}, headers={"Accept": "text/html"})
    page = tree(answer)
    assert answer.status_code == 404
    assert "Nothing has this id" in page.text
    assert page.find("b") == []


async def test_the_list_needs_a_session_and_comes_back_to_itself(world: World) -> None:
    async with browsing(world) as browser:
        answer = await browser.get("/tasks?status=failed&provider=runware")
    assert answer.headers["location"] == "/login?next=/tasks%3Fstatus%3Dfailed%26provider%3Drunware"


def _arrived(delivery: Delivery, task: Task) -> Change:
    return Change(task, delivered=(delivery,))


async def test_what_was_to_be_told_of_marked_tasks_is_told_again(world: World, browser: Browser) -> None:
    now = world.system.now()
    added = Endpoint(uuid4(), "https://app.example.org/hooks", now)
    await world.ports.store.outbox.add_endpoint(added)
    over = [await made(world) for _ in range(3)]
    event = Event(EventType.TASK_FAILED, now)
    await world.ports.store.apply([Decision(task.key, lambda task: Change(task, (event,))) for task in over])
    outbox = world.ports.store.outbox
    await outbox.due_endpoints(now)
    leased = await outbox.lease_deliveries({added.id: Room(3, 0)}, now=now, lease=timedelta(seconds=9))
    arrived = [replace(each.delivery, status=DeliveryStatus.SENT, due_at=None, ended_at=now) for each in leased]
    await world.ports.store.apply([Decision(each.task_key, partial(_arrived, each)) for each in arrived])
    ids = [str(over[0].id), str(over[2].id), "nonsense", str(uuid4())]
    body = {"csrf": await browser.csrf(), "id": ids, "back": "provider=runware"}
    answer = await browser.http.post("/tasks/redeliver", data=body, headers={"Origin": str(browser.http.base_url)})
    assert answer.headers["location"] == "/tasks?provider=runware&told=2&of=3"
    page = await browser.page(answer.headers["location"])
    assert "2 deliveries of 3 tasks on the way again, under the same ids." in page.text
    again = {each.task_id for each in await outbox.deliveries(DeliveryFilter(status=DeliveryStatus.PENDING))}
    assert again == {over[0].id, over[2].id}
    assert "Nothing was marked" in (await browser.page("/tasks?told=0&of=0")).text
    assert "There was nothing to tell again" in (await browser.page("/tasks?told=0&of=2")).text


async def test_the_box_that_marks_all_says_so_and_waits_for_the_script_with_its_label(
    world: World, browser: Browser
) -> None:
    await made(world)
    [label] = (await browser.page("/tasks")).find("label", class_="all")
    assert label.text == "all"
    assert "hidden" in label.attributes
    [box] = label.find("input", type="checkbox", id="mark-all")
    assert "hidden" not in box.attributes
