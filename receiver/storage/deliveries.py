"""Deliveries: claimed for each endpoint apart, first attempts before retries; listed, sent again, forgotten."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from receiver.domain.delivery import Delivery, DeliveryStatus, moment_bits
from receiver.domain.endpoint import BY_HAND, EndpointStatus
from receiver.lifecycle.ports import MOST_COUNTED, Backlog, DeliveryFilter, DueEndpoint, Notice, Room
from receiver.storage.chosen import Chosen
from receiver.storage.claim import Claim
from receiver.storage.loading import load, lock
from receiver.storage.outbox_rows import (
    AGAIN,
    DELIVERY_COLUMNS,
    ENDPOINT_COLUMNS,
    FIRST_LANE,
    RETRIES_LANE,
    UNBLOCK,
    begun_row,
    delivery_from,
    endpoint_from,
)
from receiver.storage.outbox_tables import deliveries, endpoints
from receiver.storage.rows import Columns
from receiver.storage.running import run
from receiver.storage.statements import ForKeys
from receiver.storage.tables import tasks

_PENDING: ColumnElement[str] = literal_column(f"'{DeliveryStatus.PENDING}'")
_ENDED = (DeliveryStatus.SENT, DeliveryStatus.DEAD)


def _next_of(lane: int) -> ColumnElement[datetime | None]:
    """When the next of an endpoint's lane may be taken: one step in the index for each endpoint."""
    return (
        select(func.min(deliveries.columns.free_at))
        .where(
            deliveries.columns.endpoint_id == endpoints.columns.id,
            deliveries.columns.lane == literal_column(str(lane)),
            deliveries.columns.free_at.is_not(None),
        )
        .correlate(endpoints)
        .scalar_subquery()
    )


#: May be sent to at all; those that fail, once their rest is over.
_OPEN = and_(
    endpoints.columns.removed_at.is_(None),
    or_(
        endpoints.columns.status == EndpointStatus.ACTIVE.value,
        and_(endpoints.columns.status == EndpointStatus.PAUSED.value, endpoints.columns.reason != BY_HAND),
    ),
)
_DUE = (
    select(deliveries.columns.id)
    .where(
        deliveries.columns.endpoint_id == bindparam("of_endpoint"),
        deliveries.columns.lane == bindparam("of_lane"),
        deliveries.columns.free_at <= bindparam("now"),
        # It may have been paused or removed since it was found to have something due.
        select(endpoints.columns.id).where(endpoints.columns.id == bindparam("of_endpoint"), _OPEN).exists(),
    )
    .order_by(deliveries.columns.free_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
CLAIM = (
    update(deliveries)
    .where(Chosen(deliveries, _DUE))
    .values(lease_until=bindparam("until"), lease_owner=bindparam("owner"), claims=deliveries.columns.claims + 1)
    .returning(deliveries.columns.id)
)

_waiting = select(
    *ENDPOINT_COLUMNS, _next_of(FIRST_LANE).label("first_at"), _next_of(RETRIES_LANE).label("retry_at")
).where(_OPEN)


def _longest_due(waiting: Subquery) -> ColumnElement[datetime | None]:
    """Since when the first or the retry is due that has been due for longer; either may be missing."""
    first, retry = waiting.columns.first_at, waiting.columns.retry_at
    return case((or_(retry.is_(None), first < retry), first), else_=retry)


_WELL = and_(
    endpoints.columns.failures == literal_column("0"), endpoints.columns.status == EndpointStatus.ACTIVE.value
)
_proven = _waiting.where(_WELL, endpoints.columns.proven).subquery("well")
#: Known to answer, with something due, whoever waits longest first. What others have due is not even looked at.
PROVEN_ENDPOINTS = (
    select(_proven)
    .where(_longest_due(_proven) <= bindparam("now"))
    .order_by(_longest_due(_proven))
    .limit(bindparam("most"))
)
_new = _waiting.where(_WELL, ~endpoints.columns.proven).subquery("new")
#: Not tried yet, with something due. Each leaves them by what comes of its first attempts, so none waits for ever.
NEW_ENDPOINTS = select(_new).where(_longest_due(_new) <= bindparam("now")).limit(bindparam("most"))
_rested = _waiting.where(
    ~_WELL, or_(endpoints.columns.rests_until.is_(None), endpoints.columns.rests_until <= bindparam("now"))
).subquery("rested")
#: Those that fail and have rested, with something due.
FAILING_ENDPOINTS = (
    select(_rested)
    .where(_longest_due(_rested) <= bindparam("now"))
    .order_by(_rested.columns.rests_until)
    .limit(bindparam("most"))
)
_deliveries = select(*DELIVERY_COLUMNS).join_from(deliveries, tasks, tasks.columns.key == deliveries.columns.task_key)
_BY_ID = ForKeys(_deliveries, deliveries.columns.id)
_ENDPOINTS = ForKeys(select(*ENDPOINT_COLUMNS), endpoints.columns.id)
_each = _waiting.subquery("each")
_due_at = _longest_due(_each)
#: When the next delivery may be taken up, where its endpoint may be sent to.
NEXT_DELIVERY = select(
    func.min(case((_each.columns.rests_until > _due_at, _each.columns.rests_until), else_=_due_at))
)


def due_endpoints(
    connection: Connection, now: datetime, proven: int, new: int, failing: int, busy: Sequence[UUID]
) -> list[DueEndpoint]:
    """Return a few endpoints of each kind that have something due and may be sent to."""
    rows: list[Columns] = []
    for statement, most in ((PROVEN_ENDPOINTS, proven), (NEW_ENDPOINTS, new), (FAILING_ENDPOINTS, failing)):
        if most > 0:
            found = connection.execute(statement, {"now": now, "most": most + len(busy)})
            rows += [row for row in found if row[0] not in busy][:most]
    return [_due(row, now) for row in rows]


def _due(row: Columns, now: datetime) -> DueEndpoint:
    return DueEndpoint(endpoint_from(row[:-2]), *(at if at is not None and at <= now else None for at in row[-2:]))


def lease(connection: Connection, rooms: Iterable[tuple[UUID, Room]], claim: Claim) -> list[Notice]:
    """Claim due deliveries, the longest due first, of each endpoint up to its room."""
    claimed: list[UUID] = []
    for endpoint_id, room in rooms:
        for lane, most in ((FIRST_LANE, room.first), (RETRIES_LANE, room.retries)):
            if most > 0:
                given = {"of_endpoint": endpoint_id, "of_lane": lane, "most": most}
                times = {"now": claim.now, "until": claim.until, "owner": claim.owner}
                claimed += connection.scalars(CLAIM, {**given, **times})
    found = [delivery_from(row) for row in _BY_ID.rows(connection, claimed)] if claimed else []
    held = load(connection, list({delivery.task_key for delivery in found}))
    by_id = {row[0]: endpoint_from(row) for row in _ENDPOINTS.rows(connection, [one.endpoint_id for one in found])}
    found = list({delivery.id: delivery for delivery in found}.values())
    found.sort(key=lambda delivery: (delivery.due_at or claim.now, delivery.id))
    return [Notice(delivery, held[delivery.task_key].task, by_id[delivery.endpoint_id]) for delivery in found]


def listed(connection: Connection, wanted: DeliveryFilter) -> list[Delivery]:
    """Return deliveries, newest first."""
    if wanted.endpoint_id is not None and wanted.task_id is None and wanted.status is None:
        # One walk of an index for each status; without it all deliveries of the endpoint would be sorted.
        each = [one for status in DeliveryStatus for one in _listed(connection, wanted, status)]
        return sorted(each, key=lambda one: one.id, reverse=True)[: wanted.limit]
    return _listed(connection, wanted, wanted.status)


def one(connection: Connection, delivery_id: UUID) -> Delivery | None:
    """Return one delivery."""
    return next((delivery_from(row) for row in _BY_ID.rows(connection, [delivery_id])), None)


def _listed(connection: Connection, wanted: DeliveryFilter, status: DeliveryStatus | None) -> list[Delivery]:
    return [delivery_from(row) for row in connection.execute(listing(wanted, status))]


def listing(wanted: DeliveryFilter, status: DeliveryStatus | None) -> Select[*tuple[object, ...]]:
    """Return the statement that finds deliveries with one status, or any."""
    statement = _deliveries.where(*fits(wanted, status))
    return statement.order_by(deliveries.columns.id.desc()).limit(wanted.limit)


def fits(wanted: DeliveryFilter, status: DeliveryStatus | None) -> list[ColumnElement[bool]]:
    """Return what is true of the deliveries that are wanted."""
    found: list[ColumnElement[bool]] = []
    if wanted.delivery_id is not None:
        found.append(deliveries.columns.id == wanted.delivery_id)
    if wanted.task_id is not None:
        own = select(tasks.columns.key).where(tasks.columns.id == wanted.task_id).scalar_subquery()
        found.append(deliveries.columns.task_key == own)
    if wanted.endpoint_id is not None:
        found.append(deliveries.columns.endpoint_id == wanted.endpoint_id)
    if status is not None:
        found.append(deliveries.columns.status == status.value)
    if wanted.error is not None:
        found.append(deliveries.columns.error == wanted.error)
    if wanted.created_after is not None:
        found += [
            deliveries.columns.id >= _first_id(wanted.created_after),
            deliveries.columns.at >= wanted.created_after,
        ]
    if wanted.created_before is not None:
        found += [
            deliveries.columns.id <= _first_id(wanted.created_before, last=True),
            deliveries.columns.at < wanted.created_before,
        ]
    if wanted.before_id is not None:
        found.append(deliveries.columns.id < wanted.before_id)
    if wanted.after_id is not None:
        found.append(deliveries.columns.id > wanted.after_id)
    return found


def _first_id(moment: datetime, *, last: bool = False) -> UUID:
    """Return an id below, or with ``last`` above, those of all events of a moment."""
    return UUID(int=moment_bits(moment) | ((1 << 80) - 1 if last else 0))


def redriven(wanted: DeliveryFilter, status: DeliveryStatus) -> Select[UUID]:
    """Return the statement that finds what is to be sent again, oldest first."""
    open_ = select(endpoints.columns.id).where(
        endpoints.columns.id == deliveries.columns.endpoint_id,
        endpoints.columns.removed_at.is_(None),
        endpoints.columns.status != EndpointStatus.STOPPED.value,
    )
    return (
        select(deliveries.columns.id)
        .where(*fits(wanted, status), open_.exists())
        .order_by(deliveries.columns.id)
        .limit(wanted.limit)
    )


def ended_ones(connection: Connection, wanted: DeliveryFilter) -> list[UUID]:
    """Return up to ``limit`` deliveries that ended and fit, the oldest first."""
    statuses = [wanted.status] if wanted.status is not None else list(_ENDED)
    found = [
        found for status in statuses if status in _ENDED for found in connection.scalars(redriven(wanted, status))
    ]
    return sorted(found)[: wanted.limit]


_ENDED_NOW = ForKeys(
    select(deliveries.columns.id, deliveries.columns.claims).where(deliveries.columns.status != _PENDING),
    deliveries.columns.id,
)
_TASKS_OF = ForKeys(select(deliveries.columns.task_key), deliveries.columns.id)


def redrive(connection: Connection, delivery_ids: Sequence[UUID], now: datetime) -> int:
    """Let deliveries be sent anew that have ended still, in the order of their events; return how many."""
    lock(connection, sorted({row[0] for row in _TASKS_OF.rows(connection, delivery_ids)}))
    # Read again now that nobody else changes them: they may be on their way by somebody else's wish.
    ended = dict(tuple(row) for row in _ENDED_NOW.rows(connection, delivery_ids))
    run(connection, AGAIN.ready(connection.dialect, [begun_row(*one, now) for one in ended.items()]))
    run(connection, UNBLOCK.ready(connection.dialect, list(ended)))
    return len(ended)


def expired(before: datetime, limit: int) -> Select[*tuple[object, ...]]:
    """Return the statement that finds what has been on its way since before a moment."""
    return (
        _deliveries.where(
            deliveries.columns.status == _PENDING,
            deliveries.columns.id < _first_id(before),
            # Whoever had it sent again has begun its time anew.
            or_(deliveries.columns.begun_at.is_(None), deliveries.columns.begun_at < before),
        )
        .order_by(deliveries.columns.id)
        .limit(limit)
    )


def of_stopped(limit: int) -> Select[*tuple[object, ...]]:
    """Return the statement that finds what is on its way to endpoints that were stopped by what they said."""
    stopped = select(endpoints.columns.id).where(
        endpoints.columns.status == EndpointStatus.STOPPED.value,
        endpoints.columns.reason == "gone",
        endpoints.columns.removed_at.is_(None),
    )
    return _deliveries.where(
        deliveries.columns.endpoint_id.in_(stopped), deliveries.columns.status == _PENDING
    ).limit(limit)


def hopeless(connection: Connection, before: datetime, limit: int) -> list[Delivery]:
    """Return what is on its way and shall not be sent any more."""
    rows: list[Columns] = [*connection.execute(of_stopped(limit)), *connection.execute(expired(before, limit))]
    return list({row[0]: delivery_from(row) for row in rows}.values())


def ended(before: datetime, status: DeliveryStatus, limit: int) -> Select[UUID]:
    """Return the statement that finds what ended, of events before a moment."""
    return (
        select(deliveries.columns.id)
        .where(deliveries.columns.status == status.value, deliveries.columns.id < _first_id(before))
        .order_by(deliveries.columns.id)
        .limit(limit)
    )


REMOVED = select(endpoints.columns.id).where(endpoints.columns.removed_at.is_not(None))
OF_ENDPOINT = (
    select(deliveries.columns.id)
    .where(deliveries.columns.endpoint_id == bindparam("of_endpoint"))
    .order_by(deliveries.columns.status, deliveries.columns.id)
    .limit(bindparam("most"))
)
_FORGET = ForKeys(delete(deliveries), deliveries.columns.id)


def gone(connection: Connection, before: datetime, limit: int) -> tuple[list[UUID], list[UUID]]:
    """Return deliveries that ended long ago or belong to removed endpoints, and such endpoints without any."""
    found: dict[UUID, None] = {}
    empty: list[UUID] = []
    for status in _ENDED:
        found |= dict.fromkeys(connection.scalars(ended(before, status, limit)))
    for endpoint_id in connection.scalars(REMOVED).all():
        if len(found) >= limit:
            break
        left = connection.scalars(OF_ENDPOINT, {"of_endpoint": endpoint_id, "most": limit}).all()
        found |= dict.fromkeys(left)
        if not left:
            empty.append(endpoint_id)
    return list(found)[:limit], empty


def forget(connection: Connection, delivery_ids: Sequence[UUID], endpoint_ids: Sequence[UUID]) -> None:
    """Forget deliveries, and endpoints that have none."""
    run(connection, _FORGET.ready(connection.dialect, delivery_ids))
    for endpoint_id in endpoint_ids:
        connection.execute(delete(endpoints).where(endpoints.columns.id == endpoint_id))


def _counted(status: DeliveryStatus) -> ColumnElement[int]:
    """How many deliveries of an endpoint stand so, counted up to a bound. Spelt out, as parameters are the keys."""
    stands = deliveries.columns.status == literal_column(f"'{status}'")
    some = (
        select(deliveries.columns.id)
        .where(deliveries.columns.endpoint_id == endpoints.columns.id, stands)
        # In the order of the index, or a database that counts few rows to come would walk the table for them.
        .order_by(deliveries.columns.id)
        .limit(literal_column(str(MOST_COUNTED)))
        .offset(literal_column("0"))
        .correlate(endpoints)
        .subquery("some")
    )
    return select(func.count()).select_from(some).correlate(endpoints).scalar_subquery()


_oldest = (
    select(deliveries.columns.at)
    .where(deliveries.columns.endpoint_id == endpoints.columns.id, deliveries.columns.status == _PENDING)
    .order_by(deliveries.columns.id)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
    .correlate(endpoints)
    .scalar_subquery()
)
BACKLOG = select(
    endpoints.columns.id,
    _counted(DeliveryStatus.PENDING).label("pending"),
    _counted(DeliveryStatus.DEAD).label("dead"),
    _oldest.label("oldest"),
)
_BACKLOGS = ForKeys(BACKLOG, endpoints.columns.id)
_some_dead = (
    select(deliveries.columns.id)
    .where(deliveries.columns.status == literal_column(f"'{DeliveryStatus.DEAD}'"))
    .order_by(deliveries.columns.id)
    .limit(literal_column(str(MOST_COUNTED)))
    .subquery("some")
)
#: Of all endpoints together, and so of removed ones until they are tidied up.
DEAD = select(func.count()).select_from(_some_dead)
OLDEST = (
    select(deliveries.columns.at)
    .where(deliveries.columns.status == _PENDING)
    .order_by(deliveries.columns.id)
    .limit(1)
)


def backlogs(connection: Connection, endpoint_ids: Sequence[UUID]) -> dict[UUID, Backlog]:
    """Return what there is of endpoints."""
    return {row[0]: Backlog(*row[1:]) for row in _BACKLOGS.rows(connection, endpoint_ids)}
