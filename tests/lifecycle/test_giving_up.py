"""What becomes of a notification in the end, by the clock of the tests: taken, dead by the schedule, expired."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest

from receiver.domain.delivery import SCHEDULE, Delivery, DeliveryError, DeliveryStatus, Told
from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.domain.errors import UnavailableError
from receiver.domain.event import Event, EventType
from receiver.domain.exchange import HttpRequest
from receiver.domain.task import Change, Task
from receiver.lifecycle import endpoints, notify
from receiver.lifecycle.ports import Decision, DeliveryFilter, Notice, Outbound, Ports, Queue, Room, Store
from receiver.lifecycle.sealing import keys_of
from receiver.storage.store import SqlStore, open_store
from tests.storage.making import given, submitted
from tests.web.fakes import FakeSystem, World

BAD, GOOD = Told(DeliveryError.STATUS, 500), Told(None, 200)
DAY = timedelta(days=1)


@dataclass
class Listener:
    """An endpoint that answers as it is told to."""

    says: Told = BAD
    heard: list[HttpRequest] = field(default_factory=list)

    async def notify(self, request: HttpRequest) -> Told:
        self.heard.append(request)
        return self.says

    async def refusal_to_notify(self, url: str) -> str | None:
        return None


@dataclass
class Scene:
    """One endpoint, told of one event of one task."""

    ports: Ports
    listener: Listener
    endpoint: Endpoint
    task: Task

    @property
    def system(self) -> FakeSystem:
        return cast("FakeSystem", self.ports.system)

    @property
    def store(self) -> SqlStore:
        return cast("SqlStore", self.ports.store)

    async def lease(self) -> list[Notice]:
        return await notify.lease(self.ports, {self.endpoint.id: Room(9, 9)})

    async def tell(self) -> int:
        """Send what is due to an endpoint that may be sent to; return how many."""
        due = await self.store.outbox.due_endpoints(self.ports.system.now())
        leased = await self.lease() if due else []
        for notice in leased:
            await notify.notify(self.ports, notice, shown)
        return len(leased)

    async def delivery(self) -> Delivery:
        [one] = await self.store.outbox.deliveries(DeliveryFilter())
        return one

    async def told_of(self) -> list[str]:
        return [event.type for event in await self.store.events(self.task.id) if event.type.startswith("delivery.")]

    async def pass_until_due(self) -> None:
        """Let the time pass until something may be sent."""
        due_at = (await self.store.next_due())[Queue.NOTIFY]
        self.system.passed += max(0.0, (due_at - self.system.now()).total_seconds())

    async def redrive(self) -> int:
        count, _ = await endpoints.redrive(self.ports, DeliveryFilter(endpoint_id=self.endpoint.id))
        return count


async def shown(task: Task) -> dict[str, object]:
    return {"id": str(task.id), "results": []}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_store(tmp_path / "receiver.db") as store:
        listener = Listener()
        ports = replace(World().ports, store=store, outbound=cast("Outbound", listener))
        endpoint, _ = await endpoints.add(ports, "https://app.example/hooks")
        task = submitted()
        await given(store, task)
        happened = Event(EventType.TASK_FAILED, ports.system.now())
        await store.apply([Decision(task.key, lambda same: Change(same, (happened,)))])
        yield Scene(ports, listener, endpoint, task)


async def test_what_is_never_taken_is_tried_by_the_schedule_and_dead_after_its_last_attempt(scene: Scene) -> None:
    began = scene.ports.system.now()
    while (one := await scene.delivery()).status is DeliveryStatus.PENDING:
        await scene.pass_until_due()
        assert await scene.tell() == 1
        assert await notify.sweep(scene.ports) == 0
    # The endpoint was paused by all that, and each attempt was one of its probes.
    assert (one.attempts, len(one.outcomes), one.last_error) == (len(SCHEDULE) + 1, len(SCHEDULE) + 1, "status")
    assert sum(SCHEDULE, timedelta()) * 0.9 < one.outcomes[-1].at - began < 2 * DAY
    assert {request.headers["webhook-id"] for request in scene.listener.heard} == {str(one.id)}
    assert await scene.told_of() == ["delivery.failed"] * len(SCHEDULE) + ["delivery.dead"]
    # It stays so, is kept to be seen, and can be sent again under its id.
    assert await scene.tell() == 0
    assert await scene.redrive() == 1
    scene.listener.says = GOOD
    await scene.pass_until_due()
    assert await scene.tell() == 1
    assert (await scene.delivery()).status is DeliveryStatus.SENT
    assert scene.listener.heard[-1].headers["webhook-id"] == str(one.id)


async def test_what_waits_for_a_paused_endpoint_expires_after_three_days_and_no_sooner(scene: Scene) -> None:
    await endpoints.pause(scene.ports, scene.endpoint.id)
    scene.system.passed += 3 * DAY.total_seconds() - 60
    assert await notify.sweep(scene.ports) == 0
    assert (await scene.delivery()).status is DeliveryStatus.PENDING
    scene.system.passed += 120
    assert await notify.sweep(scene.ports) == 1
    one = await scene.delivery()
    assert (one.status, one.last_error, one.attempts) == (DeliveryStatus.DEAD, "expired", 0)
    assert await scene.told_of() == ["delivery.dead"]
    # What is dead stays dead when the endpoint is back, until somebody has it sent again; then its time begins anew.
    await endpoints.resume(scene.ports, scene.endpoint.id)
    assert await scene.tell() == 0
    assert await scene.redrive() == 1
    assert await notify.sweep(scene.ports) == 0
    assert await scene.tell() == 1
    assert (await scene.delivery()).attempts == 1


async def test_a_redrive_while_it_is_sent_sends_nothing_twice(scene: Scene) -> None:
    [notice] = await scene.lease()
    assert await scene.redrive() == 0
    scene.listener.says = GOOD
    await notify.notify(scene.ports, notice, shown)
    wanted = DeliveryFilter(endpoint_id=scene.endpoint.id, status=DeliveryStatus.SENT)
    assert [(await endpoints.redrive(scene.ports, wanted))[0] for _ in range(2)] == [1, 0]
    assert [await scene.tell() for _ in range(2)] == [1, 0]
    assert len(scene.listener.heard) == 2


@pytest.mark.parametrize("told", [GOOD, BAD, Told(DeliveryError.GONE, 410)])
async def test_an_endpoint_that_is_removed_while_it_is_sent_to_is_sent_nothing_more(scene: Scene, told: Told) -> None:
    [notice] = await scene.lease()
    await endpoints.remove(scene.ports, scene.endpoint.id)
    scene.listener.says = told
    await notify.notify(scene.ports, notice, shown)
    scene.system.passed += 60
    assert await scene.lease() == []
    while await notify.sweep(scene.ports):
        pass
    assert await scene.store.outbox.deliveries(DeliveryFilter()) == []
    # Its URL can be registered again, and what was on its way to the one before is none of its business.
    again, _ = await endpoints.add(scene.ports, scene.endpoint.url)
    assert await scene.store.outbox.due_endpoints(scene.ports.system.now()) == []
    assert again.id != scene.endpoint.id


async def test_an_endpoint_that_is_paused_while_it_is_sent_to_stays_so_whatever_it_answers(scene: Scene) -> None:
    [notice] = await scene.lease()
    await endpoints.pause(scene.ports, scene.endpoint.id)
    scene.listener.says = GOOD
    await notify.notify(scene.ports, notice, shown)
    kept = await scene.store.outbox.endpoint(scene.endpoint.id)
    assert kept is not None
    assert (kept.status, kept.reason) == (EndpointStatus.PAUSED, "by_hand")
    assert (await scene.delivery()).status is DeliveryStatus.SENT


async def test_secrets_renewed_twice_in_a_row_all_sign_until_the_overlap_that_was_promised_first(
    scene: Scene,
) -> None:
    async def keys() -> tuple[bytes, ...]:
        kept = await scene.store.outbox.endpoint(scene.endpoint.id)
        assert kept is not None
        return keys_of(scene.ports, kept, scene.ports.system.now())

    [first] = await keys()
    of: UUID = scene.endpoint.id
    await endpoints.rotate(scene.ports, of, None, timedelta(hours=1))
    second = (await keys())[0]
    await endpoints.rotate(scene.ports, of, None, timedelta(hours=2))
    third, *others = await keys()
    assert others == [second, first]
    scene.system.passed += 3601
    assert await keys() == (third, second)
    scene.system.passed += 3600
    assert await keys() == (third,)


class Counting:
    """An outbox that notes how many endpoints each claim is of, and is away after so many claims."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.claims: list[int] = []

    async def lease_deliveries(self, rooms: Mapping[UUID, Room], *, now: datetime, lease: timedelta) -> list[Notice]:
        if len(self.claims) == self.most:
            raise UnavailableError
        self.claims.append(len(rooms))
        return [cast("Notice", _Claimed(_Delivery(now), endpoint_id)) for endpoint_id in rooms]


@dataclass(frozen=True)
class _Delivery:
    due_at: datetime
    attempts: int = 1


@dataclass(frozen=True)
class _Claimed:
    delivery: _Delivery
    endpoint: UUID


async def test_what_many_endpoints_have_due_is_claimed_some_at_a_time_so_that_callbacks_are_written_between() -> None:
    rooms = {UUID(int=number): Room(1, 0) for number in range(96)}
    for most, answered in ((99, 96), (2, 2 * notify.CLAIMED_AT_ONCE)):
        outbox = Counting(most)
        ports = World().ports
        store = cast("Store", SimpleNamespace(outbox=outbox))
        leased = await notify.lease(replace(ports, store=store), rooms)
        # What is claimed already is sent, also where the store went away after that.
        assert [cast("_Claimed", notice).endpoint for notice in leased] == list(rooms)[:answered]
        assert max(outbox.claims) <= notify.CLAIMED_AT_ONCE
    with pytest.raises(UnavailableError):
        await notify.lease(replace(World().ports, store=cast("Store", SimpleNamespace(outbox=Counting(0)))), rooms)
