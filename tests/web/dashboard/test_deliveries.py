from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast
from uuid import UUID, uuid4

import pytest

from receiver.domain.delivery import DeliveryError, Told
from receiver.domain.endpoint import CONFIGURED_ID, Endpoint, EndpointStatus
from receiver.domain.event import Event, EventType
from receiver.domain.exchange import HttpRequest
from receiver.domain.task import Change, Task
from receiver.lifecycle import endpoints, notify
from receiver.lifecycle.ports import Decision, Notifying, Outbound, Room
from receiver.web.dashboard.paper import TEMPLATES
from tests.web.dashboard.browsing import Browser, tree
from tests.web.dashboard.making import made
from tests.web.fakes import World

URL = "https://app.example.org/hooks?key=s3cret"


@dataclass
class Line:
    """The way to endpoints: what each says, and what went there."""

    told: Told = field(default_factory=lambda: Told(None, 204, seconds=0.02))
    sent: list[HttpRequest] = field(default_factory=list)

    def trouble(self, provider: str) -> str | None:
        return None

    async def notify(self, request: HttpRequest) -> Told:
        self.sent.append(request)
        return self.told

    async def refusal_to_notify(self, url: str) -> str | None:
        return None


class OpenVault:
    """Keeps secrets as they are."""

    def seal(self, secret: bytes) -> str:
        return secret.hex()

    def unseal(self, sealed: str) -> bytes | None:
        return bytes.fromhex(sealed)

    def is_fresh(self, sealed: str) -> bool:
        return True


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def world(world: World, line: Line) -> World:
    world.ports = replace(
        world.ports, outbound=cast("Outbound", line), notifying=Notifying(keys=(b"k" * 32,), vault=OpenVault())
    )
    return world


@pytest.fixture
async def endpoint(world: World) -> Endpoint:
    """One endpoint, told of everything."""
    added, _ = await endpoints.add(world.ports, URL)
    return added


async def happened(world: World, count: int = 1) -> UUID:
    """Let tasks fail; return the id of the last."""
    tasks = [await made(world) for _ in range(count)]
    event = Event(EventType.TASK_FAILED, world.system.now())
    await world.ports.store.apply([Decision(task.key, lambda task: Change(task, (event,))) for task in tasks])
    return tasks[-1].id


async def die(world: World, line: Line, endpoint: Endpoint) -> None:
    """Let the endpoint want nothing any more, so that what is on its way dies, and be resumed."""
    line.told = Told(DeliveryError.GONE, 410, seconds=0.02)
    await world.ports.store.outbox.due_endpoints(world.system.now())
    [notice] = await notify.lease(world.ports, {endpoint.id: Room(1, 1)})
    await notify.notify(world.ports, notice, shown)
    await notify.sweep(world.ports)
    await endpoints.resume(world.ports, endpoint.id)


async def shown(task: Task) -> Mapping[str, object]:
    return {"id": str(task.id), "results": []}


async def test_where_nobody_is_told_the_page_says_how(browser: Browser) -> None:
    page = await browser.page("/deliveries")
    assert "RECEIVER_NOTIFY_URL=" in page.find("code", class_="command")[0].text


async def test_an_endpoint_is_shown_without_what_may_be_secret_in_its_address(
    browser: Browser, endpoint: Endpoint
) -> None:
    page = await browser.page("/deliveries")
    assert "https://app.example.org/hooks?[redacted]" in page.text
    assert "s3cret" not in (await browser.get("/deliveries")).text


async def test_what_is_on_its_way_is_listed_with_its_task(world: World, browser: Browser, endpoint: Endpoint) -> None:
    task_id = await happened(world)
    [row] = (await browser.page("/deliveries")).find("tbody")[0].find("tr")
    assert "task.failed" in row.text
    assert "on its way" in row.text
    assert row.find("a", href=f"/tasks/{task_id}")
    assert (await browser.page("/deliveries?show=dead")).find("tbody") == []


async def test_what_is_counted_up_to_a_bound_alone_may_be_more_and_says_so(
    world: World, browser: Browser, line: Line, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happened(world)
    await die(world, line, endpoint)
    await happened(world, 2)
    monkeypatch.setitem(TEMPLATES.globals, "MOST_COUNTED", 2)
    shown = (await browser.page("/deliveries")).text
    assert "2 or more" in shown, "on their way"
    assert "1 or more" not in shown, "dead"
    monkeypatch.setitem(TEMPLATES.globals, "MOST_COUNTED", 1)
    monkeypatch.setattr("receiver.web.dashboard.deliveries.MOST_COUNTED", 1)
    assert "1 or more" in (await browser.page("/deliveries")).text
    for path in ("/", "/deliveries/redrive", f"/deliveries/endpoints/{endpoint.id}/remove"):
        assert (
            "1 or more deliver" in (await browser.page(path)).text or "2 or more" in (await browser.page(path)).text
        )


async def test_a_list_goes_on_on_the_next_page(world: World, browser: Browser, endpoint: Endpoint) -> None:
    await happened(world, 52)
    first = await browser.page(f"/deliveries?endpoint={endpoint.id}")
    [older] = [link for link in first.find("a", class_="button") if link.text == "Older"]
    second = await browser.page(older.attributes["href"])
    assert [len(page.find("tbody")[0].find("tr")) for page in (first, second)] == [50, 2]


async def test_an_endpoint_is_paused_and_resumed(world: World, browser: Browser, endpoint: Endpoint) -> None:
    path = f"/deliveries/endpoints/{endpoint.id}"
    answer = await browser.act(f"{path}/pause")
    assert answer.headers["location"] == "/deliveries?done=paused"
    page = await browser.page("/deliveries?done=paused")
    assert "somebody paused it" in page.text
    assert page.find("p", class_="notice good")[0].text.startswith("Nothing is sent to it")
    await browser.act(f"{path}/resume")
    found = await world.ports.store.outbox.endpoint(endpoint.id)
    assert found is not None
    assert found.status is EndpointStatus.ACTIVE


async def test_an_endpoint_is_tried_and_what_came_of_it_is_told(
    browser: Browser, endpoint: Endpoint, line: Line
) -> None:
    path = f"/deliveries/endpoints/{endpoint.id}/test"
    page = tree(await browser.act(path))
    assert "answered with 204 after 20 ms" in page.text
    assert "still paused" not in page.text
    assert [request.url for request in line.sent] == [URL]
    await browser.act(f"/deliveries/endpoints/{endpoint.id}/pause")
    assert "It is still paused: resume it to have it told again." in tree(await browser.act(path)).text
    line.told = Told(DeliveryError.STATUS, 500)
    page = tree(await browser.act(path))
    assert "The endpoint answered 500." in page.text


async def test_a_new_secret_is_shown_once(browser: Browser, endpoint: Endpoint) -> None:
    path = f"/deliveries/endpoints/{endpoint.id}/rotate"
    assert "Give it a new secret?" in (await browser.page(path)).text
    page = tree(await browser.act(path))
    secret = page.find("code", class_="command")[0].text
    assert secret.startswith("whsec_")
    assert secret not in (await browser.get("/deliveries")).text
    for _ in range(2):
        assert (await browser.act(path)).status_code == 200
    refused = await browser.act(path)
    assert refused.status_code == 409
    assert "As many of its secrets sign as may at once" in tree(refused).text


async def test_the_secret_of_the_settings_is_a_setting(world: World, browser: Browser) -> None:
    await world.ports.store.outbox.configure("https://app.example.org/set", world.system.now())
    page = await browser.page("/deliveries")
    assert "from the settings" in page.text
    assert not [link for link in page.find("a") if "rotate" in link.attributes.get("href", "")]
    answer = await browser.act(f"/deliveries/endpoints/{CONFIGURED_ID}/rotate")
    assert answer.status_code == 409
    assert "Its secret is a setting" in answer.text


async def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    for path in ("/deliveries?show=nothing", f"/deliveries/redrive?endpoint={uuid4()}"):
        assert (await browser.get(path)).status_code == 404
    for verb in ("pause", "resume", "test", "rotate"):
        assert (await browser.act(f"/deliveries/endpoints/{uuid4()}/{verb}")).status_code == 404


async def test_what_died_says_why_and_is_sent_again(
    world: World, browser: Browser, endpoint: Endpoint, line: Line
) -> None:
    await happened(world, 2)
    await die(world, line, endpoint)
    page = await browser.page("/deliveries?show=dead")
    other, row = page.find("tbody")[0].find("tr")
    assert "dead" in row.text
    assert "the endpoint answered 410" in row.text
    assert "1 attempt" in row.text
    [name] = row.find("input", name="id")
    answer = await browser.act("/deliveries/redrive", id=name.attributes["value"])
    assert answer.headers["location"] == "/deliveries?sent=1"
    assert "1 delivery on the way again" in (await browser.page("/deliveries?sent=1")).text
    assert "on its way" in (await browser.page("/deliveries")).find("tbody")[0].text
    [left] = (await browser.page("/deliveries?show=dead")).find("tbody")[0].find("tr")
    assert left.attributes["id"] == other.attributes["id"]


async def test_all_that_died_at_an_endpoint_is_sent_again_at_once(
    world: World, browser: Browser, endpoint: Endpoint, line: Line
) -> None:
    await happened(world, 3)
    await die(world, line, endpoint)
    asked = await browser.page(f"/deliveries/redrive?endpoint={endpoint.id}")
    assert "3 deliveries are dead at https://app.example.org/hooks" in asked.text
    answer = await browser.act("/deliveries/redrive", endpoint=str(endpoint.id))
    assert answer.headers["location"] == "/deliveries?sent=3"


async def test_where_none_is_dead_none_is_sent_again(world: World, browser: Browser, endpoint: Endpoint) -> None:
    await happened(world)
    answer = await browser.act("/deliveries/redrive")
    assert answer.headers["location"] == "/deliveries?done=none"
    assert "There was none" in (await browser.page("/deliveries?done=none")).text


@pytest.mark.parametrize("sent", ["x", "-1", "99999999", "\u0661"])
async def test_what_is_no_count_in_an_address_is_not_shown(browser: Browser, sent: str) -> None:
    assert (await browser.page(f"/deliveries?sent={sent}")).find("p", class_="notice good") == []


async def test_many_endpoints_are_a_list_of_small_pages_with_those_that_need_somebody_first(
    world: World, browser: Browser
) -> None:
    now, outbox = world.system.now(), world.ports.store.outbox
    for number in range(1000):
        status = EndpointStatus.STOPPED if number == 777 else EndpointStatus.ACTIVE
        url = f"https://app-{number:04}.example.org/hooks?key=s3cret"
        await outbox.add_endpoint(Endpoint(uuid4(), url, now, status=status))
    answer = await browser.get("/deliveries")
    assert len(answer.content) < 100_000
    page = tree(answer)
    assert "1 000 endpoints" in page.text.replace("\u202f", " ")
    rows = page.find("table", class_="cards endpoints")[0].find("tbody")[0].find("tr")
    assert len(rows) == 25
    assert "app-0777" in rows[0].text
    second = await browser.page("/deliveries?page=2")
    assert "app-0024" in second.text
    assert "app-0777" not in second.text
    # Not even a search finds out what an address hides.
    assert "No address is like that" in (await browser.page("/deliveries?url=s3cret")).text
    [row] = (await browser.page("/deliveries?url=APP-0555")).find("tbody")[0].find("tr")
    [link] = row.find("a")
    card = await browser.page(link.attributes["href"])
    assert [each.attributes["aria-label"] for each in card.find("article")] == [
        "https://app-0555.example.org/hooks?[redacted]"
    ]
    for odd, shown in (("0", 777), ("99999", 999), ("-1", 777), ("x", 777), ("9" * 30, 777)):
        assert f"app-{shown:04}" in (await browser.page(f"/deliveries?page={odd}")).text


async def test_an_endpoint_is_added_and_its_secret_is_shown_once(world: World, browser: Browser) -> None:
    page = await browser.page("/deliveries/endpoints")
    assert len([each for each in page.find("input", type="checkbox") if "checked" in each.attributes]) == 7
    answer = await browser.act("/deliveries/endpoints", url=URL, type="task.failed")
    secret = tree(answer).find("code", class_="command")[0].text
    assert secret.startswith("whsec_")
    assert "s3cret" not in answer.text
    assert secret not in (await browser.get("/deliveries")).text
    [added] = await world.ports.store.outbox.endpoints()
    assert (added.url, added.types) == (URL, frozenset({EventType.TASK_FAILED}))
    taken = await browser.act("/deliveries/endpoints", url=URL, type="task.failed")
    assert (taken.status_code, "is told already" in taken.text) == (422, True)


@pytest.mark.parametrize(
    ("url", "kinds", "said"),
    [
        ("javascript:alert(1)", ["task.failed"], "must be an http(s) URL"),
        ("<script>alert(1)</script>", ["task.failed"], "must be an http(s) URL"),
        ("https://app.example.org/", [], "Choose at least one"),
        ("https://app.example.org/", ["task.nothing"], "Choose at least one"),
    ],
)
async def test_what_is_wrong_with_a_new_endpoint_is_said_beside_it(
    world: World, browser: Browser, url: str, kinds: list[str], said: str
) -> None:
    body = {"csrf": await browser.csrf(), "url": url, "type": kinds}
    answer = await browser.http.post(
        "/deliveries/endpoints", data=body, headers={"Origin": str(browser.http.base_url)}
    )
    page = tree(answer)
    assert answer.status_code == 422
    assert said in page.find("p", role="alert")[0].text
    assert page.find("input", name="url")[0].attributes["value"] == url
    assert await world.ports.store.outbox.endpoints() == []


async def test_an_endpoint_is_taken_away_after_a_question(world: World, browser: Browser, endpoint: Endpoint) -> None:
    await happened(world)
    path = f"/deliveries/endpoints/{endpoint.id}/remove"
    asked = (await browser.page(path)).text
    assert "1 delivery is on the way to it and will not be sent" in asked
    assert "the whole history of its deliveries, arrived and dead, are forgotten" in asked
    assert (await browser.act(path)).headers["location"] == "/deliveries?done=removed"
    assert await world.ports.store.outbox.endpoints() == []
    await world.ports.store.outbox.configure("https://app.example.org/set", world.system.now())
    answer = await browser.act(f"/deliveries/endpoints/{CONFIGURED_ID}/remove")
    assert (answer.status_code, "Take RECEIVER_NOTIFY_URL out of the settings" in answer.text) == (409, True)
