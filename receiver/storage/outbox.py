"""The port ``Outbox`` on one engine: endpoints, and what is on its way to them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, insert, select, update

from receiver.domain.delivery import Delivery
from receiver.domain.endpoint import (
    BY_HAND,
    CONFIGURED_ID,
    NOT_CONFIGURED,
    Endpoint,
    EndpointStatus,
    resumed,
)
from receiver.lifecycle.ports import (
    Backlog,
    DeliveryFilter,
    DueEndpoint,
    EndpointTakenError,
    Notice,
    Room,
    TooManyEndpointsError,
)
from receiver.storage import deliveries, outbox_tables
from receiver.storage.claim import Claim
from receiver.storage.claiming import Claims
from receiver.storage.engine import Engine
from receiver.storage.outbox_rows import ENDPOINT_COLUMNS, endpoint_from, endpoint_values
from receiver.storage.outbox_tables import endpoints
from receiver.storage.withheld import withheld

_log = logging.getLogger("receiver.storage")
#: Each is a row for every event; and a list of them is one answer.
MOST_ENDPOINTS = 5000
_KEPT = endpoints.columns.removed_at.is_(None)
_ALL = select(*ENDPOINT_COLUMNS).where(_KEPT).order_by(endpoints.columns.created_at, endpoints.columns.id)
_ONE = select(*ENDPOINT_COLUMNS).where(endpoints.columns.id == bindparam("of_endpoint"), _KEPT)
_HELD = _ONE.with_for_update(key_share=True)
_BY_STATUS = (
    select(endpoints.columns.status, func.count(endpoints.columns.id)).where(_KEPT).group_by(endpoints.columns.status)
)
_SAME_URL = select(endpoints.columns.id).where(endpoints.columns.url == bindparam("of_url"), _KEPT)


class SqlOutbox:
    """``receiver.lifecycle.ports.Outbox`` in a database."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._engine = engine
        self._claims = claims

    async def endpoints(self) -> list[Endpoint]:
        return await self._engine.read(lambda connection: [endpoint_from(row) for row in connection.execute(_ALL)])

    async def endpoint(self, endpoint_id: UUID) -> Endpoint | None:
        return await self._engine.read(lambda connection: _found(connection, endpoint_id))

    async def backlogs(self, endpoint_ids: Sequence[UUID]) -> Mapping[UUID, Backlog]:
        return await self._engine.read(lambda connection: deliveries.backlogs(connection, endpoint_ids))

    async def dead(self) -> int:
        return await self._engine.read(lambda connection: connection.scalar(deliveries.DEAD) or 0)

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        await self._engine.write(lambda connection: _add(connection, endpoint))

    async def change_endpoint(
        self, endpoint_id: UUID, change: Callable[[Endpoint], Endpoint]
    ) -> tuple[Endpoint, Endpoint] | None:
        changed = await self._engine.write(lambda connection: _change(connection, endpoint_id, change))
        if changed is not None:
            _say(*changed)
        return changed

    async def configure(self, url: str | None, now: datetime) -> None:
        changed = await self._engine.write(lambda connection: _configure(connection, url, now))
        if changed is not None:
            _say(*changed)

    async def remove_endpoint(self, endpoint_id: UUID, now: datetime) -> bool:
        removing = update(endpoints).where(endpoints.columns.id == endpoint_id, _KEPT).values(removed_at=now)
        return bool(await self._engine.write(lambda connection: connection.execute(removing).rowcount))

    async def due_endpoints(
        self, now: datetime, *, proven: int = 1000, new: int = 1000, failing: int = 1000, busy: Sequence[UUID] = ()
    ) -> list[DueEndpoint]:
        def work(connection: Connection) -> list[DueEndpoint]:
            moment = self._claims.moment(connection, now)
            return deliveries.due_endpoints(connection, moment, proven, new, failing, busy)

        return await self._engine.read(work)

    async def lease_deliveries(self, rooms: Mapping[UUID, Room], *, now: datetime, lease: timedelta) -> list[Notice]:
        def work(connection: Connection, claim: Claim) -> list[Notice]:
            return deliveries.lease(connection, rooms.items(), claim)

        most = sum(room.first + room.retries for room in rooms.values())
        return await self._claims.make(outbox_tables.deliveries, now, most, lease, work)

    async def delivery(self, delivery_id: UUID) -> Delivery | None:
        return await self._engine.read(lambda connection: deliveries.one(connection, delivery_id))

    async def deliveries(self, wanted: DeliveryFilter) -> list[Delivery]:
        return await self._engine.read(lambda connection: deliveries.listed(connection, wanted))

    async def redrive(self, wanted: DeliveryFilter, now: datetime) -> tuple[int, UUID | None]:
        # To find them may mean to look at very many; whoever writes is not to wait for that.
        found = await self._engine.read(lambda connection: deliveries.ended_ones(connection, wanted))
        if not found:
            return 0, None
        made = await self._engine.write(lambda connection: deliveries.redrive(connection, found, now))
        return made, found[-1] if len(found) == wanted.limit else None

    async def withheld(self, wanted: DeliveryFilter) -> Mapping[UUID, int]:
        return await self._engine.read(lambda connection: withheld(connection, wanted))

    async def standing(self) -> tuple[Mapping[EndpointStatus, int], datetime | None]:
        return await self._engine.read(_standing)

    async def hopeless(self, *, expired_before: datetime, limit: int) -> list[Delivery]:
        return await self._engine.read(lambda connection: deliveries.hopeless(connection, expired_before, limit))

    async def tidy(self, *, ended_before: datetime, limit: int) -> int:
        gone, empty = await self._engine.read(lambda connection: deliveries.gone(connection, ended_before, limit))
        if gone or empty:
            await self._engine.write(lambda connection: deliveries.forget(connection, gone, empty))
        return len(gone)


def _say(was: Endpoint, now: Endpoint) -> None:
    """Say that an endpoint is told nothing any more, or is told again; never its address, which may hold a secret."""
    if was.status is now.status and not (now.reason == BY_HAND != was.reason):
        return
    named: dict[str, object] = {"endpoint_id": str(now.id), "reason": now.reason or was.reason}
    if now.status is EndpointStatus.ACTIVE:
        # Only an attempt that succeeded proves an endpoint; one that a person resumes has yet to answer.
        _log.info("endpoint_resumed", extra={**named, "by_itself": now.proven and not was.proven})
    else:
        _log.warning("endpoint_%s", now.status.value, extra={**named, "failures": now.failures})


def _standing(connection: Connection) -> tuple[Mapping[EndpointStatus, int], datetime | None]:
    counted = connection.execute(_BY_STATUS).all()
    return {EndpointStatus(status): count for status, count in counted}, connection.scalar(deliveries.OLDEST)


def _found(connection: Connection, endpoint_id: UUID) -> Endpoint | None:
    row = connection.execute(_ONE, {"of_endpoint": endpoint_id}).one_or_none()
    return None if row is None else endpoint_from(row)


def _add(connection: Connection, endpoint: Endpoint) -> None:
    taken = connection.scalar(_SAME_URL, {"of_url": endpoint.url})
    if taken is not None:
        raise EndpointTakenError(taken)
    if (connection.scalar(select(func.count()).select_from(endpoints).where(_KEPT)) or 0) >= MOST_ENDPOINTS:
        raise TooManyEndpointsError
    connection.execute(insert(endpoints).values(endpoint_values(endpoint)))


def _change(
    connection: Connection, endpoint_id: UUID, change: Callable[[Endpoint], Endpoint]
) -> tuple[Endpoint, Endpoint] | None:
    row = connection.execute(_HELD, {"of_endpoint": endpoint_id}).one_or_none()
    if row is None:
        return None
    was = endpoint_from(row)
    now = change(was)
    if now != was:
        changed = update(endpoints).where(endpoints.columns.id == endpoint_id).values(endpoint_values(now))
        connection.execute(changed)
    return was, now


def _configure(connection: Connection, url: str | None, now: datetime) -> tuple[Endpoint, Endpoint] | None:
    """Return the endpoint of the settings as it was and as it is, None where there was none.

    Others who share the database may do the same at once: whoever is second changes what is there.
    """
    known = connection.execute(
        select(*ENDPOINT_COLUMNS).where(endpoints.columns.id == CONFIGURED_ID).with_for_update(key_share=True)
    ).one_or_none()
    if known is None:
        if url is not None:
            connection.execute(insert(endpoints).values(endpoint_values(Endpoint(CONFIGURED_ID, url, now))))
        return None
    was = endpoint_from(known)
    if url is None:
        is_now = was if was.status is EndpointStatus.STOPPED else _unconfigured(was, now)
    else:
        is_now = _configured(was, url)
    if is_now != was:
        values = endpoint_values(is_now)
        connection.execute(update(endpoints).where(endpoints.columns.id == CONFIGURED_ID).values(values))
    return was, is_now


def _unconfigured(endpoint: Endpoint, now: datetime) -> Endpoint:
    """Keep it, with what waits for it: a setting may be forgotten at one start and be there at the next."""
    return replace(endpoint, status=EndpointStatus.STOPPED, reason=NOT_CONFIGURED, since=now)


def _configured(endpoint: Endpoint, url: str) -> Endpoint:
    moved = replace(endpoint, url=url)
    is_back = endpoint.reason == NOT_CONFIGURED
    # Another URL is another chance, but for what a person decided.
    is_another = url != endpoint.url and endpoint.reason != BY_HAND
    return resumed(moved) if is_back or is_another else moved
