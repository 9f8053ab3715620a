"""Claims on due work: taken by one statement, seen by nobody else until they end."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, literal_column, or_, select, update

from receiver.domain.task import Task, Work
from receiver.lifecycle.ports import ArtifactWork, Decide, Queue
from receiver.storage import custody
from receiver.storage import deliveries as outbox
from receiver.storage.chosen import Chosen
from receiver.storage.claim import Claim
from receiver.storage.faults import fault
from receiver.storage.loading import load
from receiver.storage.outbox_tables import deliveries
from receiver.storage.running import run
from receiver.storage.saving import Batch
from receiver.storage.statements import Update
from receiver.storage.tables import artifacts, inbox, tasks

_log = logging.getLogger("receiver.storage")


DUE_TASKS = (
    select(tasks.columns.key)
    .where(
        tasks.columns.work == bindparam("of_work"),
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.free_at <= bindparam("now"),
    )
    .order_by(tasks.columns.free_at)
    .limit(bindparam("most"))
    # Said here, or SQLAlchemy says it for SQLite by a parameter of its own.
    .offset(literal_column("0"))
    .with_for_update(skip_locked=True)
)
#: Without a lock, and told by nothing but their number.
SHOW_DUE = (
    select(tasks.columns.provider)
    .where(
        tasks.columns.work == bindparam("of_work"),
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.free_at <= bindparam("now"),
    )
    .limit(bindparam("most"))
)
CLAIM_TASKS = (
    update(tasks)
    .where(Chosen(tasks, DUE_TASKS))
    .values(lease_until=bindparam("until"), lease_owner=bindparam("owner"))
    .returning(tasks.columns.key)
)
#: By when an artifact is to be fetched: before its link dies, and at any rate within a day of falling due. So what
#: has no such link is passed over for a day and no longer, however many others come. A link that is dead already is
#: in no hurry: to fetch those first would let the next ones die too (the domino effect of earliest deadline first).
_WITHIN = timedelta(days=1)
_WANTED = (
    artifacts.columns.task_key,
    artifacts.columns.position,
    artifacts.columns.result_id,
    artifacts.columns.link_expires_at,
    artifacts.columns.free_at,
)
#: What is wanted by the earlier of two moments is among the first by one of them, so the first of each order are
#: asked for, each by an index of its own. To sort all that is due by the earlier took half a second at each claim,
#: while nothing else could be written, where an outage had left a hundred thousand.
DUE_FOR_LONGEST = (
    select(*_WANTED)
    .where(artifacts.columns.free_at <= bindparam("now"))
    .order_by(artifacts.columns.free_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
#: So many are looked at for what is due: after an outage of the media's host nearly all may rest.
_LOOKED_AT = 250
_few = (
    select(artifacts.columns.task_key, artifacts.columns.position, artifacts.columns.free_at)
    .where(
        artifacts.columns.free_at.is_not(None),
        artifacts.columns.link_expires_at > bindparam("now"),
        artifacts.columns.link_expires_at < bindparam("in_time"),
    )
    .order_by(artifacts.columns.link_expires_at)
    .limit(literal_column(str(_LOOKED_AT)))
    .offset(literal_column("0"))
    .subquery("few")
)
DYING_SOONEST = (
    select(*_WANTED)
    .join_from(
        _few,
        artifacts,
        and_(
            artifacts.columns.task_key == _few.columns.task_key, artifacts.columns.position == _few.columns.position
        ),
    )
    .where(_few.columns.free_at <= bindparam("now"), artifacts.columns.free_at <= bindparam("now"))
    .order_by(artifacts.columns.link_expires_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=artifacts)
)
_CLAIM_ARTIFACTS = Update(artifacts, ("lease_until", "lease_owner"))
#: The first row of the next provider after one, for a kind of work: its ``free_at`` is that provider's least. To step
#: from provider to provider reads a row of each; a minimum over all would read every task with work.
NEXT_PROVIDER = (
    select(tasks.columns.provider, tasks.columns.free_at)
    .where(tasks.columns.work == bindparam("of_work"), tasks.columns.provider > bindparam("after"))
    .order_by(tasks.columns.provider, tasks.columns.free_at)
    .limit(1)
)
LINKS_DYING = select(func.count()).where(
    artifacts.columns.free_at.is_not(None),
    artifacts.columns.link_expires_at <= bindparam("before"),
    or_(artifacts.columns.attempts > 0, artifacts.columns.due_at <= bindparam("waits_since")),
)
NEXT_ARTIFACT = select(func.min(artifacts.columns.free_at)).where(artifacts.columns.free_at.is_not(None))
NEXT_REPORT = (
    select(inbox.columns.due_at).where(inbox.columns.lease_until.is_(None)).order_by(inbox.columns.report_id).limit(1)
)


def lease_tasks(connection: Connection, work: Work, provider: str, claim: Claim, decide: Decide | None) -> list[Task]:
    """Claim due tasks, and change each by ``decide``; return those that are still to be worked on."""
    claimed = connection.execute(
        CLAIM_TASKS,
        {
            "of_work": work.value,
            "of_provider": provider,
            "now": claim.now,
            "until": claim.until,
            "owner": claim.owner,
            "most": claim.limit,
        },
    )
    held = load(connection, [key for (key,) in claimed])
    leased = sorted(held.values(), key=lambda of_task: of_task.task.due_at or claim.now)
    if decide is None:
        return [of_task.task for of_task in leased]
    batch, kept = Batch(), []
    for of_task in leased:
        try:
            change = decide(of_task.task)
        except Exception as error:
            if fault(error) is not None:
                raise
            # The claim is kept, so that one bad task comes again later instead of at once and for ever.
            _log.exception("decision_failed", extra={"task_id": str(of_task.task.id)})
            continue
        if change is not None:
            batch.change(of_task, change)
        if change is None or change.task.work is not work:
            batch.release(of_task, claim.owner)
        else:
            kept.append(of_task)
    batch.address(connection)
    run(connection, batch.ready(connection.dialect))
    return [of_task.task for of_task in kept]


def prolong_tasks(connection: Connection, task_keys: Sequence[UUID], claim: Claim) -> None:
    """Let claims last longer, those that are still of their owner."""
    connection.execute(
        update(tasks)
        .where(
            tasks.columns.key.in_(task_keys),
            tasks.columns.lease_until.is_not(None),
            tasks.columns.lease_owner == claim.owner,
        )
        .values(lease_until=claim.until)
    )


def lease_artifacts(connection: Connection, claim: Claim) -> list[ArtifactWork]:
    """Claim results to collect, in the order in which they are to be fetched; see ``_WITHIN``."""
    wanted = _most_wanted(connection, claim)
    rows = [(*place, claim.until, claim.owner) for place in wanted]
    run(connection, _CLAIM_ARTIFACTS.all_of(connection.dialect, rows))
    held = load(connection, list({task_key: None for task_key, _ in wanted}))
    return [ArtifactWork(held[task_key].task, result_id) for (task_key, _), result_id in wanted.items()]


def _most_wanted(connection: Connection, claim: Claim) -> dict[tuple[UUID, int], UUID]:
    """Return the results that are to be fetched first, in that order, by where they stand; on PostgreSQL locked."""
    given = {"now": claim.now, "most": claim.limit}
    rows = [*connection.execute(DUE_FOR_LONGEST, given)]
    if len(rows) == claim.limit:
        # Else that was all there is.
        rows += connection.execute(DYING_SOONEST, {**given, "in_time": claim.now + _WITHIN})
    rows.sort(key=lambda row: _wanted_by(row.link_expires_at, row.free_at, claim.now))
    return dict(islice({(row.task_key, row.position): row.result_id for row in rows}.items(), claim.limit))


def _wanted_by(dies_at: datetime | None, due_at: datetime, now: datetime) -> datetime:
    latest = due_at + _WITHIN
    return dies_at if dies_at is not None and now < dies_at < latest else latest


def links_dying(connection: Connection, *, before: datetime, waits_since: datetime) -> int:
    """Count artifacts that wait for long already and whose link is dead by a moment."""
    return connection.execute(LINKS_DYING, {"before": before, "waits_since": waits_since}).scalar_one()


def prolong_artifacts(connection: Connection, result_ids: Sequence[UUID], claim: Claim) -> set[UUID]:
    """Let claims last longer, and return which are still of their owner."""
    prolonged = connection.execute(
        update(artifacts)
        .where(
            artifacts.columns.result_id.in_(result_ids),
            artifacts.columns.lease_until.is_not(None),
            artifacts.columns.lease_owner == claim.owner,
        )
        .values(lease_until=claim.until)
        .returning(artifacts.columns.result_id)
    )
    ours = {result_id for (result_id,) in prolonged}
    # Whoever may go on collecting may go on making what it collects.
    custody.prolong(connection, ours, claim.until)
    return ours


def due(connection: Connection, work: Work, provider: str, claim: Claim) -> int:
    """Count the tasks that could be claimed, up to the limit of the claim."""
    given = {"of_work": work.value, "of_provider": provider, "now": claim.now, "most": claim.limit}
    return len(connection.execute(SHOW_DUE, given).all())


def release_artifact(connection: Connection, result_id: UUID, owner: UUID) -> None:
    """Give an artifact back, unless somebody else has it by now."""
    connection.execute(
        update(artifacts)
        .where(
            artifacts.columns.result_id == result_id,
            artifacts.columns.lease_until.is_not(None),
            artifacts.columns.lease_owner == owner,
        )
        .values(lease_until=None, lease_owner=None)
    )


def void(connection: Connection, owner: UUID | None = None) -> None:
    """Forget every lease of every queue, or those of one owner."""
    for table in (tasks, inbox, artifacts, deliveries):
        statement = update(table).where(table.columns.lease_until.is_not(None))
        if owner is not None:
            statement = statement.where(table.columns.lease_owner == owner)
        if table is tasks:
            # Only a task with work has a lease; the index of due work is smaller than the table.
            statement = statement.where(tasks.columns.work.is_not(None))
        connection.execute(statement.values(lease_until=None, lease_owner=None))
    if owner is None:
        custody.void(connection)


def next_due(connection: Connection) -> Mapping[Queue, datetime]:
    """Return when the next work of each queue may be claimed."""
    due: dict[Queue, datetime] = {}

    def by(queue: Queue, moment: datetime | None) -> None:
        if moment is not None:
            due[queue] = min(moment, due.get(queue, moment))

    for work in Work:
        row = connection.execute(NEXT_PROVIDER, {"of_work": work.value, "after": ""}).one_or_none()
        while row is not None:
            provider, free_at = row
            by(Queue(work.value), free_at)
            row = connection.execute(NEXT_PROVIDER, {"of_work": work.value, "after": provider}).one_or_none()
    by(Queue.COLLECT, connection.scalar(NEXT_ARTIFACT))
    by(Queue.NOTIFY, connection.scalar(outbox.NEXT_DELIVERY))
    waiting = connection.scalar(NEXT_REPORT)
    # Claimed and deferred lines are few; a line that nobody has claimed is due already.
    by(
        Queue.SETTLE,
        waiting if waiting is not None else connection.scalar(select(func.min(inbox.columns.lease_until))),
    )
    return due
