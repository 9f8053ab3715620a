"""Whether the overview says that an application is not told what happens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest

from receiver.domain.delivery import Delivery, DeliveryError, Outcome
from receiver.domain.endpoint import BY_HAND, NOT_CONFIGURED, Endpoint, EndpointStatus
from receiver.domain.event import Event, EventType
from receiver.domain.task import Change
from receiver.lifecycle.ports import Backlog, Decision, DeliveryFilter, Outbox
from receiver.web.dashboard.untold import in_trouble, is_untold, says, untold
from tests.web.dashboard.browsing import Browser, Element
from tests.web.dashboard.making import made
from tests.web.fakes import World

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WELL = Endpoint(uuid4(), "https://app.example.org/hooks?key=s3cret", NOW)
PAUSED = replace(
    WELL,
    status=EndpointStatus.PAUSED,
    reason=DeliveryError.STATUS.value,
    since=NOW - MINUTE,
    failures=10,
    rests_until=NOW + 13 * MINUTE,
)
HELD = replace(PAUSED, reason=BY_HAND, rests_until=None)
GONE = replace(PAUSED, status=EndpointStatus.STOPPED, reason=DeliveryError.GONE.value, rests_until=None)
FORMER = replace(GONE, reason=NOT_CONFIGURED)
FAILING = replace(WELL, failures=4, rests_until=NOW + timedelta(seconds=5))


def waiting(http_status: int | None, error: DeliveryError = DeliveryError.STATUS) -> Delivery:
    outcome = Outcome(NOW, error.value, http_status, 0.1)
    return Delivery(uuid4(), uuid4(), uuid4(), 1, WELL.id, EventType.TASK_FAILED, NOW, outcomes=(outcome,))


@pytest.mark.parametrize(
    ("endpoint", "pending", "is_said"),
    [
        (WELL, 14, False),
        (replace(FAILING, failures=2), 14, False),
        (FAILING, 0, False),
        (FAILING, 1, True),
        (PAUSED, 0, True),
        (HELD, 0, True),
        (GONE, 0, True),
        (FORMER, 0, False),
        (FORMER, 1, True),
    ],
)
def test_an_endpoint_is_named_that_is_told_nothing_though_it_should_be(
    endpoint: Endpoint, pending: int, is_said: bool
) -> None:
    assert [is_untold(each, pending) for each in in_trouble([endpoint])] in ([[True]] if is_said else [[False], []])


def test_those_that_need_somebody_most_come_first() -> None:
    those = [replace(each, id=uuid4()) for each in (FAILING, PAUSED, HELD, GONE)]
    those[2] = replace(those[2], failures=11)
    assert in_trouble([WELL, *those]) == [those[3], those[2], those[1], those[0]]


@pytest.mark.parametrize(
    ("endpoint", "deliveries", "pending", "said"),
    [
        (PAUSED, [waiting(503)], 14, "is paused since 1 min ago (HTTP 503), 14 wait, next try in 13 min"),
        (PAUSED, [], 1, "(the endpoint answered, and not with a 2xx), 1 waits, next try in 13 min"),
        (replace(PAUSED, rests_until=NOW), [], 2, "2 wait, next try now"),
        (replace(PAUSED, reason="timeout"), [waiting(503)], 0, "(the endpoint did not answer in time), 0 wait"),
        (HELD, [waiting(503)], 2, "(somebody paused it), 2 wait, nothing is sent until it is resumed"),
        (GONE, [], 0, "answered 410: it wants nothing any more), nothing new is kept for it until it is resumed"),
        (FORMER, [], 2, "is stopped since 1 min ago (RECEIVER_NOTIFY_URL names it no more), 2 wait, nothing new"),
        (FAILING, [waiting(500)], 2, "failed 4 times in a row (HTTP 500), 2 wait, next try in 5 s"),
        (FAILING, [waiting(None, DeliveryError.NAME)], 2, "(the name of its host has no address), 2 wait"),
        (FAILING, [], 2, "failed 4 times in a row, 2 wait"),
        (FAILING, [], 10_000, "failed 4 times in a row, 10\u202f000 or more wait"),
    ],
)
def test_it_is_said_how_it_stands_why_and_until_when(
    endpoint: Endpoint, deliveries: list[Delivery], pending: int, said: str
) -> None:
    assert said in says(endpoint, deliveries, pending, NOW)


async def happened(world: World, count: int) -> None:
    """Let tasks fail, so that every endpoint is to be told."""
    event = Event(EventType.TASK_FAILED, world.system.now())
    tasks = [await made(world) for _ in range(count)]
    await world.ports.store.apply([Decision(task.key, lambda task: Change(task, (event,))) for task in tasks])


def notices(page: Element) -> list[str]:
    return [each.text for each in page.find("p") if "being told" in each.text]


def at(world: World, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint whose times are those of the world."""
    by = world.system.now() - NOW
    since, rests_until = (None if each is None else each + by for each in (endpoint.since, endpoint.rests_until))
    return replace(endpoint, id=uuid4(), since=since, rests_until=rests_until)


async def test_an_endpoint_that_is_paused_is_said_on_the_overview_without_the_secret_in_its_address(
    world: World, browser: Browser
) -> None:
    added = at(world, PAUSED)
    await world.ports.store.outbox.add_endpoint(replace(added, status=EndpointStatus.ACTIVE, reason=None, failures=0))
    await happened(world, 14)
    assert notices(await browser.page("/")) == []
    await world.ports.store.outbox.change_endpoint(added.id, lambda _: added)
    world.system.passed += 2
    page = await browser.page("/")
    [said] = notices(page)
    assert said.startswith(
        "Your application is not being told: https://app.example.org/hooks?[redacted] is paused since 1 min ago "
        "(the endpoint answered, and not with a 2xx), 14 wait, next try in 12 min."
    )
    assert page.find("a", href=f"/deliveries?endpoint={added.id}")
    assert "s3cret" not in (await browser.get("/")).text
    [kind] = [each for each in page.find("dt") if each.text == "telling your application"]
    assert kind.text


async def test_of_many_that_are_told_nothing_three_are_named_and_their_addresses_are_text(
    world: World, browser: Browser
) -> None:
    hostile = "https://app.example.org/<script>alert(1)</script>"
    for url in (hostile, *(f"https://other-{number}.example.org/" for number in range(4))):
        await world.ports.store.outbox.add_endpoint(replace(at(world, GONE), url=url))
    page = await browser.page("/")
    said = notices(page)
    assert len(said) == 4
    assert said[3] == "And 2 more are not being told. See which"
    assert any("<script>alert(1)</script>" in each for each in said)
    assert [each for each in page.find("script") if "src" not in each.attributes] == []


class Counting:
    """An outbox of very many endpoints that fail, which notes of how many it is asked what waits for them."""

    def __init__(self) -> None:
        self.counted = self.listed = 0

    async def endpoints(self) -> list[Endpoint]:
        return [replace(PAUSED, id=uuid4()) for _ in range(1000)]

    async def backlogs(self, endpoint_ids: Sequence[UUID]) -> dict[UUID, Backlog]:
        self.counted += len(endpoint_ids)
        return {each: Backlog(10_000, 10_000, NOW) for each in endpoint_ids}

    async def deliveries(self, wanted: DeliveryFilter) -> list[Delivery]:
        self.listed += wanted.limit
        return []


async def test_what_waits_for_a_thousand_is_counted_of_a_few_alone() -> None:
    outbox = Counting()
    found, besides = await untold(cast("Outbox", outbox), NOW)
    assert (len(found), besides) == (3, 997)
    assert (outbox.counted <= 5, outbox.listed <= 60) == (True, True)
