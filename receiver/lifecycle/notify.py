"""Notify: send what happened to where the user's application wants to be told, until it has taken it.

A notification shows the task as it is when it is sent, not as it was when it happened: what is sent again after an
outage is then the truth, no second copy of what a task holds lies anywhere, and erasing a task leaves none behind.
Its ``type`` and ``timestamp`` are those of the event; its id, and the order within a task, hold over all attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.delivery import Delivery, DeliveryError, Told, concluded, given_up
from receiver.domain.endpoint import Endpoint, EndpointStatus, failed, succeeded, target
from receiver.domain.errors import UnavailableError
from receiver.domain.event import EventType
from receiver.domain.task import Change, Task
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.ports import Decision, DueEndpoint, Notice, Ports, Queue, Room, Show
from receiver.lifecycle.posting import notification, post, without_download_links
from receiver.lifecycle.record import insist, record
from receiver.lifecycle.sealing import keys_of, seal, unseal

#: Deliveries given up, or forgotten, by one sweep.
SWEPT = 200
#: Endpoints whose deliveries one transaction claims: each costs a statement, and callbacks are written in between.
CLAIMED_AT_ONCE = 24


async def start(ports: Ports) -> None:
    """Let the endpoint of the settings be as it is set, and the first signing key be all that secrets need.

    Raises UnavailableError.
    """
    outbox = ports.store.outbox
    await outbox.configure(ports.notifying.url, ports.system.now())
    for endpoint in await outbox.endpoints():
        if endpoint.sealed is not None and not ports.notifying.vault.is_fresh(endpoint.sealed):
            await outbox.change_endpoint(endpoint.id, lambda current: _resealed(ports, current))


async def due(ports: Ports, *, most: int, busy: Sequence[UUID]) -> list[DueEndpoint]:
    """Return so many of the endpoints known to answer that have something due, none ``busy``."""
    return await ports.store.outbox.due_endpoints(ports.system.now(), proven=most, new=0, failing=0, busy=busy)


async def due_others(ports: Ports, *, new: int, failing: int, busy: Sequence[UUID]) -> list[DueEndpoint]:
    """Return so many of the other endpoints that have something due and may be sent to, none ``busy``."""
    now = ports.system.now()
    return await ports.store.outbox.due_endpoints(now, proven=0, new=new, failing=failing, busy=busy)


async def lease(ports: Ports, rooms: Mapping[UUID, Room]) -> list[Notice]:
    """Claim due deliveries of each endpoint, first attempts and retries each up to its room."""
    now = ports.system.now()
    # Whoever reads the answer to the last byte of its time still holds it.
    held = max(ports.limits.lease, timedelta(seconds=2 * ports.notifying.timeout_seconds))
    leased: list[Notice] = []
    of_all = list(rooms.items())
    for begin in range(0, len(of_all), CLAIMED_AT_ONCE):
        part = dict(of_all[begin : begin + CLAIMED_AT_ONCE])
        try:
            leased += await ports.store.outbox.lease_deliveries(part, now=now, lease=held)
        except UnavailableError:
            if not leased:
                raise
            # What is claimed already is sent; the others are still there once the store is.
            break
    firsts = (notice.delivery for notice in leased if not notice.delivery.attempts)
    observe_lateness(ports, Queue.NOTIFY, [delivery.due_at for delivery in firsts], now)
    return leased


async def notify(ports: Ports, notice: Notice, show: Show) -> Told:
    """Send one leased delivery and record what came of it, at the task and at the endpoint; return that.

    Raises UnavailableError when the endpoint's standing cannot be written; the delivery's own outcome is insisted on.
    """
    ports.system.checkpoint("notify.before_send")
    told = await _send(ports, notice, show)
    ports.system.checkpoint("notify.after_send")
    now = ports.system.now()
    ended, event = concluded(notice.delivery, told, now, jitter=ports.system.jitter())
    await record(ports, [Decision(notice.task.key, lambda task: Change(task, (event,), delivered=(ended,)))])
    ports.system.checkpoint("notify.after_record")
    _count(ports, event.type, told.error)
    if told.error is None:
        ports.metrics.observe("notify_seconds", (now - notice.delivery.at).total_seconds())
    if _changes(notice, told):
        await insist(ports, lambda: _stand(ports, notice.endpoint.id, told, now), within=ports.limits.lease)
    return told


async def sweep(ports: Ports) -> int:
    """Give up what waited too long or has nowhere to go, and forget what ended long ago; return how many of both."""
    now = ports.system.now()
    outbox = ports.store.outbox
    forgotten = await outbox.tidy(ended_before=now - ports.notifying.retention, limit=SWEPT)
    found = await outbox.hopeless(expired_before=now - ports.notifying.give_up, limit=SWEPT)
    decisions = []
    for delivery in found:
        expired = delivery.at < now - ports.notifying.give_up
        error = DeliveryError.EXPIRED if expired else DeliveryError.STOPPED
        decisions.append(_giving_up(delivery, error, now))
        _count(ports, EventType.DELIVERY_DEAD, error)
    if decisions:
        await ports.store.apply(decisions)
    return max(forgotten, len(found))


async def _send(ports: Ports, notice: Notice, show: Show) -> Told:
    keys = keys_of(ports, notice.endpoint, ports.system.now())
    if not keys:
        return Told(DeliveryError.SECRET)
    data = await _data(notice, show)
    if data is None:
        return Told(DeliveryError.RESULT_GONE)
    body = notification(notice.delivery.type.value, notice.delivery.at, data)
    url = target(notice.endpoint, notice.task.request.notify_url)
    return await post(ports, url, notice.delivery.id, body, keys)


async def _data(notice: Notice, show: Show) -> Mapping[str, object] | None:
    """Return what is told: the task, or of one that goes on the result alone; None when that is gone."""
    shown = without_download_links(await show(notice.task))
    if notice.delivery.result_id is None:
        return shown
    results = shown["results"]
    wanted = str(notice.delivery.result_id)
    for result in results if isinstance(results, list) else ():
        if result["id"] == wanted:
            return {"task_id": shown["id"], "result": result}
    return None


def _changes(notice: Notice, told: Told) -> bool:
    """Whether an outcome changes how an endpoint stands: of most that succeed there is nothing to be written."""
    endpoint = notice.endpoint
    if told.error is DeliveryError.RESULT_GONE:
        return False
    if told.http_status is not None and target(endpoint, notice.task.request.notify_url) != endpoint.url:
        # What a task's own path answers says nothing of the others: one that is gone must not silence them all.
        return False
    standing_well = endpoint.proven and not endpoint.failures and endpoint.status is EndpointStatus.ACTIVE
    return told.error is not None or not standing_well


async def _stand(ports: Ports, endpoint_id: UUID, told: Told, now: datetime) -> None:
    def change(endpoint: Endpoint) -> Endpoint:
        return succeeded(endpoint) if told.error is None else failed(endpoint, told, now)

    changed = await ports.store.outbox.change_endpoint(endpoint_id, change)
    if changed is not None and changed[0].status is not changed[1].status:
        ports.metrics.count("endpoint_changes", status=changed[1].status.value)
    ports.wake(Queue.NOTIFY)


def _resealed(ports: Ports, endpoint: Endpoint) -> Endpoint:
    secrets = unseal(ports, endpoint)
    # What cannot be read stays as it is: the key may come back.
    return replace(endpoint, sealed=seal(ports, endpoint.id, secrets)) if secrets else endpoint


def _giving_up(delivery: Delivery, error: DeliveryError, now: datetime) -> Decision:
    ended, event = given_up(delivery, error, now)

    def decide(task: Task) -> Change:
        return Change(task, (event,), delivered=(ended,))

    return Decision(delivery.task_key, decide)


def _count(ports: Ports, kind: EventType, error: DeliveryError | None) -> None:
    outcome = kind.value.removeprefix("delivery.")
    ports.metrics.count("deliveries", outcome=outcome, error="none" if error is None else error.value)
