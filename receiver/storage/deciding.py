"""Decisions: taken on what is true when they are written, each one standing or falling alone."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection, Select, select

from receiver.domain.report import Verdict
from receiver.domain.submission import taken
from receiver.domain.task import Change, Ruling, Task
from receiver.domain.usual import Arrival, Done
from receiver.lifecycle.ports import Decision, TakenError
from receiver.storage import custody, erasing, inputs
from receiver.storage.arrivals import arrived
from receiver.storage.faults import fault
from receiver.storage.gathered import no_breath
from receiver.storage.loading import load, lock
from receiver.storage.naming import Asked, Names
from receiver.storage.rows import Held
from receiver.storage.running import Ready, run
from receiver.storage.saving import Batch
from receiver.storage.serving import Finish, undone_if_it_fails
from receiver.storage.statements import lists, takes_arrays
from receiver.storage.tables import tasks

_log = logging.getLogger("receiver.storage")

#: How many tasks are loaded, or decided on, between two breaths: some milliseconds.
_BREATH = 32
#: How many are loaded at once from a database that is not in this process, and how many usual decisions, which are
#: made already, are passed on between two breaths.
_FAR = 256

_Prepared = tuple[list[Ready], list[Done | None]]


def create(connection: Connection, asked: Sequence[Asked]) -> list[UUID | Exception | None]:
    """Insert new tasks; one whose name stands for a task already is left out, and that task's id returned.

    So is one whose provider task id another task has (TakenError), whose name stands for another request, or that
    names an input which there is not (InvalidRequestError).
    """
    held = _holders(connection, [change for change, _ in asked])
    names = Names(connection, asked)
    without_input = inputs.missing(connection, [change for change, _ in asked])
    outcomes: list[UUID | Exception | None] = []
    batch = Batch()
    made: list[Change] = []
    for change, once in asked:
        known = names.stands_for(once)
        name = (change.task.provider, change.task.provider_task_id)
        holder = held.get(name)
        if known is not None:
            outcomes.append(known)
            continue
        if holder is not None:
            outcomes.append(TakenError(holder))
            continue
        if change.task.key in without_input:
            outcomes.append(without_input[change.task.key])
            continue
        if change.task.provider_task_id is not None:
            held[name] = change.task.id
        batch.create(change)
        made.append(change)
        names.give(once, change)
        outcomes.append(None)
    batch.address(connection)
    run(connection, batch.ready(connection.dialect))
    inputs.use(connection, made)
    names.write(connection)
    return outcomes


def prepare(
    connection: Connection, asked: Sequence[Sequence[Decision]], owner: UUID, breathe: Callable[[], None]
) -> Finish[list[Done | None]]:
    """Take the decisions of several callers in order, and return what writes them.

    Until that is called nobody else may change a task. ``breathe`` is called every few milliseconds, unless all
    is as usual. ``owner`` is whose leases may be released. Raises only what is a fault of the database.
    """
    decisions = [decision for of_caller in asked for decision in of_caller]
    prepared = _prepared(connection, decisions, owner, breathe)

    def finish(open_: Connection) -> list[list[Done | None] | Exception]:
        changes = iter(_write(open_, decisions, owner, prepared))
        return [list(islice(changes, len(of_caller))) for of_caller in asked]

    return finish


def _prepared(
    connection: Connection, decisions: Sequence[Decision], owner: UUID, breathe: Callable[[], None]
) -> _Prepared | None:
    """Return the statements and the changes of all decisions, or None when one of them cannot be put into rows."""
    statements: list[Ready] = []
    try:
        batch, changes = _take(connection, decisions, owner, breathe)
        breathe = _breath(connection, breathe, usual=all(isinstance(each, Arrival) for each in changes))
        for statement in batch.ready(connection.dialect):
            statements.append(statement)
            breathe()
    except Exception as error:
        if fault(error) is not None:
            raise
        return None
    return statements, changes


def _write(
    connection: Connection, decisions: Sequence[Decision], owner: UUID, prepared: _Prepared | None
) -> list[Done | None]:
    """Write what was prepared; when one of the decisions cannot be written, find it and write the others."""
    if prepared is not None:
        statements, changes = prepared
        try:
            undone_if_it_fails(connection, lambda open_: run(open_, statements))
        except Exception as error:
            if fault(error) is not None:
                raise
        else:
            return changes
    return _by_halves(connection, decisions, owner)


def _apply(connection: Connection, decisions: Sequence[Decision], owner: UUID) -> list[Done | None]:
    """Take and write decisions, those that cannot be written set aside; by halves, so that one costs little."""

    def together(open_: Connection) -> list[Done | None]:
        batch, changes = _take(open_, decisions, owner, lambda: None)
        run(open_, batch.ready(open_.dialect))
        return changes

    if not decisions:
        return []
    try:
        return undone_if_it_fails(connection, together)
    except Exception as error:
        if fault(error) is not None:
            raise
        if len(decisions) == 1:
            batch = Batch()
            task_id = connection.scalar(select(tasks.columns.id).where(tasks.columns.key == decisions[0].task_key))
            _failed(batch, decisions[0], error, task_id)
            run(connection, batch.ready(connection.dialect))
            return [None]
    return _by_halves(connection, decisions, owner)


def _by_halves(connection: Connection, decisions: Sequence[Decision], owner: UUID) -> list[Done | None]:
    middle = len(decisions) // 2
    return _apply(connection, decisions[:middle], owner) + _apply(connection, decisions[middle:], owner)


@dataclass(slots=True)
class _Taking:
    """Decisions being taken, for one transaction.

    ``names`` are the provider task ids given in it so far, by provider; ``gone`` are reports that are not to be kept;
    ``arrived`` is what becomes of usual callbacks, each with the number of its task's last event, by their decision.
    """

    connection: Connection
    owner: UUID
    batch: Batch = field(default_factory=Batch)
    names: dict[tuple[str, str], UUID] = field(default_factory=dict)
    gone: list[UUID] = field(default_factory=list)
    arrived: dict[int, tuple[Arrival, int]] = field(default_factory=dict)

    def arrive(self, decision: Decision) -> Arrival | None:
        """Take a decision by what is usual, where its task was found to be so."""
        found = self.arrived.get(id(decision))
        if found is None:
            return None
        arrival, last_seq = found
        self.batch.arrive(arrival, last_seq)
        return arrival

    def decide(self, held: Held | None, decision: Decision) -> Change | None:
        if held is None:
            _set_aside(self.batch, decision, "unknown task")
            return None
        if held.task.erased_at is not None:
            # Whatever was under way when it was erased ends here.
            self.gone.extend(decision.reports)
            erased_at = held.task.erased_at
            self.batch.doom([(name, erased_at) for name in decision.objects])
            if decision.holder is not None:
                self.batch.end_claims(decision.holder)
            return None
        if decision.holder is not None and not custody.is_held(self.connection, decision.objects, decision.holder):
            # Somebody may have taken away by now what this would name; or may be about to.
            self.batch.doom([(name, held.task.created_at) for name in decision.objects])
            return None
        try:
            change = decision.decide(held.task)
            if change is not None:
                change = self._with_its_own_name(held.task, change)
                self.batch.change(held, change)
        except Exception as error:
            # Whatever a decision raises concerns that decision alone; what the database does concerns all.
            if fault(error) is not None:
                raise
            _failed(self.batch, decision, error, held.task.id)
            return None
        self.batch.close(decision.reports)
        if decision.release:
            self.batch.release(held, self.owner)
        if decision.holder is not None:
            self.batch.end_claims(decision.holder)
            named = {result.artifact.object_key for result in held.task.results}
            # A moment that has passed: there is nothing to wait for.
            self.batch.doom([(name, held.task.created_at) for name in decision.objects if name not in named])
        return change

    def _with_its_own_name(self, task: Task, change: Change) -> Change:
        """Return a change that gives no task the provider task id of another one: the database would refuse it."""
        given = change.task.provider_task_id
        if given is None or task.provider_task_id is not None:
            return change
        name = (task.provider, given)
        holder = self.names.get(name)
        if holder is None:
            found = self.connection.execute(holders(task.provider, [given]))
            holder = next((task_id for _, task_id in found), task.id)
        self.names[name] = holder
        if holder == task.id:
            return change
        now = max((event.at for event in change.events), default=task.created_at)
        return taken(task, change, holder, now)


def _take(
    connection: Connection, decisions: Sequence[Decision], owner: UUID, breathe: Callable[[], None]
) -> tuple[Batch, list[Done | None]]:
    by_task = _by_task(decisions)
    of_task = list(by_task.items())
    held: dict[UUID, Held] = {}
    taking = _Taking(connection, owner)
    part = 2 * _BREATH
    if takes_arrays(connection.dialect):
        # Each question is a way there and back, and others go on meanwhile by themselves. In one order, or two who
        # have tasks in common would wait for each other.
        part = _FAR
        of_task.sort(key=_number)
    for start in range(0, len(of_task), part):
        of_part = of_task[start : start + part]
        lock(connection, [key for key, _ in of_part])
        found = arrived(connection, [key for key, alone in of_part if alone is not None], by_task)
        if len(found) < len(of_part):
            held |= load(connection, [key for key, alone in of_part if id(alone) not in found])
        taking.arrived |= found
        _breath(connection, breathe, usual=not held)()
    breathe = _breath(connection, breathe, usual=not held)
    # What is usual is decided on already.
    step = _BREATH if held else _FAR
    changes: list[Done | None] = []
    for number, decision in enumerate(decisions, 1):
        changes.append(taking.arrive(decision) or taking.decide(held.get(decision.task_key), decision))
        if number % step == 0:
            breathe()
    if taking.gone:
        taking.batch.drop(erasing.objects_of(connection, taking.gone))
    taking.batch.address(connection)
    return taking.batch, changes


def _breath(connection: Connection, breathe: Callable[[], None], *, usual: bool) -> Callable[[], None]:
    """Return what is called between two parts.

    Usual callbacks are prepared at once by a thread that does nothing else: they take a few milliseconds, and a
    commit in between would cost whoever calls back meanwhile more than to be stored along with them.
    """
    return no_breath if usual and not takes_arrays(connection.dialect) else breathe


def _number(of_task: tuple[UUID, Decision | None]) -> int:
    return of_task[0].int


def _by_task(decisions: Sequence[Decision]) -> dict[UUID, Decision | None]:
    """Return whose tasks decisions are about, each with the decision that may be as usual: the only one about it."""
    of_task: dict[UUID, Decision | None] = {}
    for decision in decisions:
        alone = decision if decision.usual is not None else None
        if of_task.setdefault(decision.task_key, alone) is not alone:
            of_task[decision.task_key] = None
    return of_task


def _failed(batch: Batch, decision: Decision, error: Exception, task_id: UUID | None) -> None:
    """Quarantine what a failed decision was about. Its lease is kept: the work is tried again when that ends."""
    named = {"task_id": str(task_id), "report_ids": [str(report_id) for report_id in decision.reports]}
    _log.error("decision_failed", extra=named, exc_info=error)
    _set_aside(batch, decision, f"error: {type(error).__name__}")


def _set_aside(batch: Batch, decision: Decision, reason: str) -> None:
    batch.close(decision.reports)
    for report_id in decision.reports:
        batch.rule(Ruling(report_id, Verdict.QUARANTINED, reason))


def holders(provider: str, provider_task_ids: Sequence[str]) -> Select[str | None, UUID]:
    """Return the statement that finds the tasks which have provider task ids already."""
    return select(tasks.columns.provider_task_id, tasks.columns.id).where(
        tasks.columns.provider == provider, tasks.columns.provider_task_id.in_(provider_task_ids)
    )


def _holders(connection: Connection, changes: Sequence[Change]) -> dict[tuple[str, str | None], UUID]:
    """Return who has the provider task ids that the new tasks bring along."""
    wanted = [change.task.provider_task_id for change in changes if change.task.provider_task_id is not None]
    return {
        (provider, name): task_id
        for provider in sorted({change.task.provider for change in changes})
        for part in lists(wanted)
        for name, task_id in connection.execute(holders(provider, part)).all()
    }
