"""Changes into rows: what a batch of decisions did, gathered, then written with one statement for each table.

What usual callbacks do is written apart, see ``landing``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from uuid import UUID

from sqlalchemy import Connection, Dialect, case, delete, literal_column, null, or_

from receiver.domain.event import Event
from receiver.domain.task import Change, Ruling
from receiver.domain.usual import Arrival
from receiver.storage import landing, outbox_rows
from receiver.storage.joining import joined
from receiver.storage.object_tables import doomed_objects, object_claims
from receiver.storage.outbox_rows import News
from receiver.storage.rows import (
    ARTIFACT_COLUMNS,
    ATTEMPT_COLUMNS,
    EVENT_COLUMNS,
    INBOX_COLUMNS,
    REPORT_COLUMNS,
    RESULT_COLUMNS,
    TASK_FIXED,
    TASK_MOVING,
    Held,
    NewRow,
    artifact_row,
    attempt_row,
    event_row,
    fixed_row,
    inbox_row,
    moving_row,
    report_row,
    request_row,
    result_row,
)
from receiver.storage.running import Ready
from receiver.storage.statements import Excluded, ForKeys, Insert, Update
from receiver.storage.tables import (
    artifacts,
    attempts,
    events,
    inbox,
    reports,
    requests,
    results,
    rulings,
    task_metadata,
    tasks,
)


def _renewed_artifact(new: Excluded) -> Mapping[str, object]:
    """A claim on an artifact ends when its collecting has: at the next attempt or when nothing is left to do.

    A fresh link alone leaves the claim to whoever is fetching; another result in its place does not.
    """
    ended = or_(
        new["status"] != literal_column("'pending'"),
        new["attempts"] != artifacts.columns.attempts,
        new["result_id"] != artifacts.columns.result_id,
    )
    return {
        **{name: new[name] for name in ARTIFACT_COLUMNS[2:]},
        "lease_until": case((ended, null()), else_=artifacts.columns.lease_until),
        "lease_owner": case((ended, null()), else_=artifacts.columns.lease_owner),
    }


#: What an artifact has once its audio was fetched, or could not be.
_OF_FETCHED = ("first_refused_at", "object_key", "size", "sha256", "media_type", "duration_seconds", "error")

#: What was asked for, as far as a usual callback is settled by it; only written, as ``requests`` holds all of it.
_WANTED = ("expected", "ttl_seconds")
_INSERT_TASKS = Insert(tasks, (*TASK_FIXED, *_WANTED, *TASK_MOVING))
_UPDATE_TASKS = Update(tasks, TASK_MOVING)
_REQUESTS = Insert(requests, ("task_key", "request", "warnings"))
_METADATA = Insert(task_metadata, ("task_key", "name", "value"))
_EVENTS = Insert(events, EVENT_COLUMNS)
_ATTEMPTS = Insert(attempts, ATTEMPT_COLUMNS, lambda new: {name: new[name] for name in ATTEMPT_COLUMNS[2:]})
_RESULTS = Insert(results, RESULT_COLUMNS, lambda new: {name: new[name] for name in RESULT_COLUMNS[2:]})
_ARTIFACTS = Insert(artifacts, ARTIFACT_COLUMNS, _renewed_artifact, rare=_OF_FETCHED)
REPORTS = Insert(reports, REPORT_COLUMNS, rare=("object_key", "duplicate_of", "doubt"))
INBOX = Insert(inbox, INBOX_COLUMNS)
_RULINGS = Insert(
    rulings,
    ("report_id", "verdict", "reason"),
    lambda new: {name: new[name] for name in ("verdict", "reason")},
    rare=("reason",),
)
_CLOSE = ForKeys(delete(inbox), inbox.columns.report_id)
#: What is being removed stays with whoever removes it, however often it is doomed meanwhile.
DOOMED = Insert(
    doomed_objects,
    ("object_key", "until"),
    lambda new: {"until": case((doomed_objects.columns.removing, doomed_objects.columns.until), else_=new["until"])},
)
_END_CLAIMS = ForKeys(delete(object_claims), object_claims.columns.holder)
#: The name of an object that is to be removed, and until when it is to be remembered.
Doomed = tuple[str, datetime]
#: Whatever is kept of a report.
OF_REPORT = (
    _CLOSE,
    ForKeys(delete(rulings), rulings.columns.report_id),
    ForKeys(delete(reports), reports.columns.id),
)


@dataclass(slots=True)
class Batch:
    """What is to be written in one transaction. A task may be changed more than once; its last state is written."""

    _created: dict[UUID, Held] = field(default_factory=dict)
    _changed: dict[UUID, Held] = field(default_factory=dict)
    _events: list[NewRow] = field(default_factory=list)
    _arrived: list[NewRow] = field(default_factory=list)
    _attempts: dict[tuple[UUID, int], NewRow] = field(default_factory=dict)
    _reports: list[NewRow] = field(default_factory=list)
    _inbox: list[NewRow] = field(default_factory=list)
    _rulings: dict[UUID, NewRow] = field(default_factory=dict)
    _closed: list[UUID] = field(default_factory=list)
    _dropped: dict[UUID, Doomed | None] = field(default_factory=dict)
    _doomed: list[Doomed] = field(default_factory=list)
    _news: list[News] = field(default_factory=list)
    _deliveries: list[NewRow] = field(default_factory=list)
    _delivered: list[tuple[NewRow, NewRow, NewRow]] = field(default_factory=list)
    _unblocked: dict[UUID, None] = field(default_factory=dict)
    _made: list[UUID] = field(default_factory=list)

    def create(self, change: Change) -> None:
        """Add a new task."""
        held = Held(change.task, (), (), 0, None, None)
        self._created[change.task.key] = held
        self._follow(held, change)

    def change(self, held: Held, change: Change) -> None:
        """Let ``change`` happen to a task. Raises ValueError when it is about another one."""
        if change.task.key != held.task.key:
            raise ValueError("a decision about one task changed another")
        if change.task is not held.task:
            held.task = change.task
            self._changed[change.task.key] = held
            if change.task.work is None:
                # There is nothing left to hold.
                held.lease_until = held.lease_owner = None
        self._follow(held, change)

    def arrive(self, arrival: Arrival, last_seq: int) -> None:
        """Let a task have its first result, and its report be settled; ``last_seq`` numbers the last event it has."""
        # Nobody is told of such events.
        self._arrived.append(landing.row(arrival, last_seq))

    def release(self, held: Held, owner: UUID) -> None:
        """Give the lease of a task back, unless somebody else has it by now."""
        if held.lease_owner == owner:
            held.lease_until = held.lease_owner = None
            self._changed[held.task.key] = held

    def rule(self, ruling: Ruling) -> None:
        self._rulings[ruling.report_id] = (ruling.report_id, ruling.verdict.value, ruling.reason)

    def close(self, report_ids: Sequence[UUID]) -> None:
        """Take reports out of the inbox."""
        self._closed.extend(report_ids)

    def drop(self, reports: Mapping[UUID, Doomed | None]) -> None:
        """Erase reports, each with the object that holds its body, if one does."""
        self._dropped |= reports
        self.doom([doomed for doomed in reports.values() if doomed is not None])

    def doom(self, objects: Sequence[Doomed]) -> None:
        """Remember objects that are to be removed."""
        self._doomed.extend(objects)

    def address(self, connection: Connection) -> None:
        """Make the deliveries of what happened, to those who want to be told of it; before ``ready``."""
        if self._news:
            self._deliveries.extend(outbox_rows.new_deliveries(connection, self._news))
            self._unblocked.update(dict.fromkeys(row[0] for row in self._deliveries if isinstance(row[0], UUID)))
            self._news.clear()

    def end_claims(self, holder: UUID) -> None:
        """Let the claims on objects of a holder end, who is done with making them."""
        self._made.append(holder)

    def ready(self, dialect: Dialect) -> Iterator[Ready]:
        """Yield the statements that write everything, in an order that suits the references between tables."""
        if self._news:
            raise AssertionError("events were written that nobody would be told of")
        created = list(self._created.values())
        changed = [held for key, held in self._changed.items() if key not in self._created]
        metadata = [
            (key, name, value) for key, held in self._created.items() for name, value in held.task.metadata.items()
        ]
        new_results, new_artifacts = _changed_results([*created, *changed])
        yield from _INSERT_TASKS.ready(dialect, [_new_row(held) for held in created])
        yield from _REQUESTS.ready(dialect, [request_row(held.task) for held in created])
        yield from _METADATA.ready(dialect, metadata)
        yield from landing.ready(dialect, self._arrived)
        changes = list(
            _UPDATE_TASKS.ready(dialect, (((held.task.key,), held.was, moving_row(held)) for held in changed))
        )
        # In which order different columns changed is chance, and would make a text for every chance.
        if len(changes) > 1:
            yield from changes
            changes.clear()
        yield from joined(
            dialect,
            chain(
                changes,
                _RESULTS.ready(dialect, new_results),
                _ARTIFACTS.ready(dialect, new_artifacts),
                _EVENTS.ready(dialect, self._events),
                _ATTEMPTS.ready(dialect, list(self._attempts.values())),
                REPORTS.ready(dialect, self._reports),
                INBOX.ready(dialect, self._inbox),
                _RULINGS.ready(dialect, list(self._rulings.values())),
                _CLOSE.ready(dialect, self._closed),
            ),
        )
        # In one order, as others may doom the same ones just now; and each once.
        yield from DOOMED.ready(dialect, sorted(dict(sorted(self._doomed)).items()))
        yield from _END_CLAIMS.ready(dialect, self._made)
        for statement in OF_REPORT:
            yield from statement.ready(dialect, list(self._dropped))
        yield from outbox_rows.INSERT.ready(dialect, self._deliveries)
        yield from outbox_rows.UPDATE.ready(dialect, self._delivered)
        yield from outbox_rows.UNBLOCK.ready(dialect, list(self._unblocked))

    def _follow(self, held: Held, change: Change) -> None:
        key = held.task.key
        if change.events:
            self._changed[key] = held
            # Who has a task erased knows of it, and nothing more is to be said.
            self._tell(key, held.last_seq, change.events, silently=held.task.erased_at is not None)
            held.last_seq += len(change.events)
        if change.attempt is not None:
            self._attempts[key, change.attempt.ordinal] = attempt_row(key, change.attempt)
        if change.report is not None:
            # An answer to our own question is never a mere repeat: a callback with the same bytes was only a hint,
            # and the same answer may mean something else after another one.
            self._reports.append(report_row(change.report))
            self._inbox.append(inbox_row(change.report))
        for ruling in change.rulings:
            self.rule(ruling)
        self.doom(change.discarded)
        for delivery in change.delivered:
            self._delivered.append(outbox_rows.changed_row(delivery))
            if delivery.ended_at is not None:
                self._unblocked[delivery.id] = None

    def _tell(self, key: UUID, seq: int, events: Sequence[Event], *, silently: bool = False) -> None:
        for event in events:
            seq += 1
            self._events.append(event_row(key, seq, event))
            if outbox_rows.is_told(event.type) and not silently:
                self._news.append(News(key, seq, event))


def _new_row(held: Held) -> NewRow:
    task = held.task
    return (*fixed_row(task), task.expected, task.request.ttl_seconds, *moving_row(held))


def _changed_results(touched: Sequence[Held]) -> tuple[list[NewRow], list[NewRow]]:
    """Return the rows of results and of artifacts that are not yet as they should be."""
    new_results: list[NewRow] = []
    new_artifacts: list[NewRow] = []
    for held in touched:
        if held.task.results is held.stored:
            continue
        before = {result.index: result for result in held.stored}
        for result in held.task.results:
            was = before.get(result.index)
            if was is result:
                continue
            row = result_row(held.task.key, result)
            if was is None or row != result_row(held.task.key, was):
                new_results.append(row)
            row = artifact_row(held.task.key, result)
            if was is None or row != artifact_row(held.task.key, was):
                new_artifacts.append(row)
    return new_results, new_artifacts
