"""A task and all that can happen to it, as a value: every step is a function from one world to the next.

A step says None where it cannot happen. Each change a step makes is checked against the four promises, so a sequence
of steps that ends without an error has kept them all the way.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

from receiver.domain.attempt import (
    Accepted,
    Attempt,
    AttemptOutcome,
    NotSent,
    Paused,
    Refused,
    SubmitOutcome,
    Unclear,
)
from receiver.domain.collection import collected, interrupted, refused
from receiver.domain.errors import AlreadyTerminalError
from receiver.domain.event import EventType
from receiver.domain.looking import Found, look_failed, looked, looked_up, overdue
from receiver.domain.operation import cancel, refresh
from receiver.domain.report import Reading, Via
from receiver.domain.result import ArtifactStatus, Result
from receiver.domain.settlement import SettleRules, duplicate, quarantine, settle
from receiver.domain.submission import RESEND_WITHIN, begin, conclude, interrupt
from receiver.domain.task import Change, Recovery, Status, Task, Work
from tests.domain.making import (
    BUSY,
    DEADLINE,
    GENERATION,
    HOST,
    LOST_AFTER,
    NOTHING,
    PLAN,
    REFUSED,
    START,
    TASK_ID,
    TERMINAL_EVENTS,
    accepted,
    digest,
    flaws,
    kept,
    look_rules,
    new_report,
    new_task,
    output,
    says,
    stored,
    submit_rules,
    trusts,
)

#: Everything of a task that can change; two tasks that agree in it are the same.
_moving = attrgetter(*(f.name for f in fields(Task) if f.name not in {"request", "metadata", "warnings"}))
#: The events of which a task has at most one in its life, found again or not.
ONCE = frozenset({EventType.TASK_SUBMITTED, EventType.TASK_SETTLED, EventType.TASK_FOUND})


@dataclass(frozen=True, slots=True)
class World:
    """``truth`` says of each result asked for whether it comes to be; ``made`` of how many that is known by now.

    ``flights`` are submits whose answer may still arrive, ``held`` reports that are stored and not settled yet, and
    ``fetching`` is a result somebody is downloading. ``told`` are the outputs that the provider's own answers named.
    """

    recovery: Recovery
    truth: tuple[bool, ...]
    task: Task
    now: datetime = START
    made: int = 0
    flights: tuple[Attempt, ...] = ()
    held: tuple[tuple[int, Reading], ...] = ()
    fetching: UUID | None = None
    bodies: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    events: tuple[EventType, ...] = ()
    received: tuple[str, ...] = ()
    callbacks: int = 0
    polls: int = 0

    def key(self) -> tuple[object, ...]:
        """What two worlds agree in that have the same future."""
        ends = tuple(event for event in self.events if event in TERMINAL_EVENTS | ONCE | {EventType.TASK_UNKNOWN})
        seen = (self.now, self.made, self.flights, self.held, self.fetching, self.bodies, self.told)
        return (*_moving(self.task), *seen, ends)


Step = Callable[[World], World | None]


def begun(truth: tuple[bool, ...], recovery: Recovery = Recovery.RESEND) -> World:
    """The world of a task that was just created; every entry of ``truth`` is a result asked for."""
    return World(recovery, truth, new_task(len(truth), recovery))


# ---------------------------------------------------------------- the promises


def moved(world: World, change: Change) -> World:
    """Let a change happen, and see that it keeps what is promised."""
    before, after = world.task, change.task
    kinds = [event.type for event in change.events]
    events = (*world.events, *kinds)
    wrong = flaws(after)
    assert not wrong, wrong
    if before.status.terminal:
        found = EventType.TASK_FOUND in kinds and before.status is Status.LOST
        assert found or after.completed_at == before.completed_at
        assert found or after.status is before.status or after.status is _by_audio(after)
    ends = [kind for kind in kinds if kind in TERMINAL_EVENTS]
    has_ended = after.status.terminal and not before.status.terminal
    assert [end.value for end in ends] == ([f"task.{after.status}"] if has_ended else [])
    assert sum(event in TERMINAL_EVENTS for event in events) <= 1 + events.count(EventType.TASK_FOUND)
    assert [kind for kind in ONCE if events.count(kind) > 1] == []
    assert events.count(EventType.TASK_UNKNOWN) <= after.attempts, "each attempt is unclear once at most"
    if (before.status, after.status) == (Status.UNKNOWN, Status.QUEUED):
        assert change.attempt is not None
        assert change.attempt.outcome in {AttemptOutcome.NOT_SENT, AttemptOutcome.PAUSED}, "only on proof"
    received = [str(event.data["result_id"]) for event in change.events if event.type is EventType.RESULT_RECEIVED]
    received = [*world.received, *received]
    assert len(set(received)) == len(received)
    assert {str(result.id) for result in after.results} <= set(received)
    lost_audio = {r.identity for r in before.results} - {r.identity for r in after.results}
    assert not lost_audio & world.told
    return replace(world, task=after, events=events, received=tuple(received))


def _by_audio(task: Task) -> Status:
    """How a task has ended that ended by what lies in our storage."""
    ours = [result.artifact.status is ArtifactStatus.STORED for result in task.results if not result.late]
    return Status.SUCCEEDED if sum(ours) == task.expected else Status.PARTIAL if any(ours) else Status.FAILED


def counted(world: World | None) -> World | None:
    """See that the task has counted what happened, and has what it was told."""
    if world is not None:
        task = world.task
        assert (task.callbacks, task.polls) == (world.callbacks, world.polls)
        assert world.told <= {result.identity for result in task.results}
    return world


# ---------------------------------------------------------------- submitting


def opened(world: World) -> World | None:
    rules = submit_rules(world.recovery)
    change = begin(world.task, world.now, rules, pushed=world.recovery is Recovery.RESEND)
    if change is None:
        return None
    if change.attempt is None or change.attempt.ended_at is not None:
        return moved(world, change)
    assert world.task.attempt_open_since is None
    if world.task.status is Status.UNKNOWN:
        assert world.recovery is Recovery.RESEND, "sent a second time where that is billed twice"
        assert world.task.unknown_since is not None
        assert world.now - world.task.unknown_since <= RESEND_WITHIN
    return replace(moved(world, change), flights=(*world.flights, change.attempt))


def answer(outcome: SubmitOutcome, which: int = 0) -> Step:
    """The answer to the oldest submit under way, or to the newest if there are two."""

    def step(world: World) -> World | None:
        if not world.flights or (which == -1 and len(world.flights) == 1):
            return None
        attempt = world.flights[which]
        told = accepted(world.recovery) if isinstance(outcome, Accepted) else outcome
        change = conclude(world.task, told, world.now, submit_rules(world.recovery), attempt=attempt)
        return replace(moved(world, change), flights=tuple(other for other in world.flights if other is not attempt))

    return step


def die(world: World) -> World | None:
    return replace(world, flights=world.flights[1:]) if world.flights else None


def close_abandoned(world: World) -> World | None:
    if world.task.work is Work.SUBMIT:
        return None
    change = interrupt(world.task, world.now, submit_rules(world.recovery))
    return None if change is None else moved(world, change)


# ---------------------------------------------------------------- callbacks


def callback(name: str, reading: Callable[[World], Reading | None]) -> Step:
    """A POST to the task's URL; the same body again is a duplicate."""

    def step(world: World) -> World | None:
        told = reading(world)
        if told is None or world.task.attempts == 0 or world.recovery is Recovery.LOOKUP:
            return None
        number = 1 + sorted(CALLBACKS).index(name)
        first = UUID(int=number) if name in world.bodies else None
        report = stored(Via.CALLBACK, world.now, serial=number, duplicate_of=first)
        if first is not None:
            change = duplicate(world.task, report, world.now)
            assert change.task == replace(world.task, callbacks=world.task.callbacks + 1)
        elif name == "unreadable":
            change = quarantine(world.task, report, "unreadable", world.now)
        else:
            change = settle(world.task, report, told, world.now, _rules(world))
        return replace(moved(world, change), callbacks=world.callbacks + 1, bodies=world.bodies | {name})

    return step


def good(*numbers: int) -> Callable[[World], Reading | None]:
    def reading(world: World) -> Reading | None:
        there = [number for number in numbers if number < len(world.truth) and world.truth[number]]
        return says(*map(output, there)) if len(there) == len(numbers) else None

    return reading


def whole(world: World) -> Reading:
    numbers = [number for number, comes in enumerate(world.truth) if comes]
    return says(*map(output, numbers), failures=len(world.truth) - len(numbers))


CALLBACKS: dict[str, Callable[[World], Reading | None]] = {
    **{f"good {number}": good(number) for number in range(4)},
    "all": whole,
    "error": lambda _: says(failures=1),
    "other error": lambda _: says(failures=2),
    "conflicting": lambda _: says(replace(output(0), link=f"{HOST}/wrong.mp3")),
    "foreign name": lambda _: says(output(0), named=frozenset({"22222222-2222-4222-8222-222222222222"})),
    "foreign host": lambda _: says(replace(output(0), link="https://elsewhere.example/0.mp3")),
    "stranger": lambda _: says(output(8)),
    "too many": lambda _: says(*map(output, range(8, 13))),
    "processing": lambda _: says(pending=True),
    "odd": lambda _: says(oddities=("status archived",)),
    "empty": lambda _: NOTHING,
    "unreadable": lambda _: NOTHING,
}


# ---------------------------------------------------------------- polls and look-ups


def poll(reading: Callable[[World], Reading], *, hold: bool = False) -> Step:
    """An answer to our question, perhaps asked before the task moved on; ``hold``: its report is settled later."""

    def step(world: World) -> World | None:
        if world.task.provider_task_id is None or world.task.status is Status.QUEUED:
            return None
        told = reading(world)
        if world.recovery is Recovery.LOOKUP and told.named == {str(TASK_ID)}:
            told = replace(told, named=frozenset({GENERATION}))
        number = int.from_bytes(digest(told)[:8])
        rules = look_rules(world.recovery)
        change = looked(world.task, told, new_report(told, world.now, number), world.now, rules)
        world = replace(moved(world, change), polls=world.polls + 1)
        if change.report is not None:
            world = replace(world, held=(*world.held, (number, told)))
            return world if hold else settle_held(world, -1)
        return world

    return step


def settle_held(world: World, which: int = 0) -> World | None:
    if not world.held:
        return None
    number, reading = world.held[which]
    rest = tuple(other for other in world.held if other is not world.held[which])
    report = stored(Via.POLL, world.now, serial=number)
    after = moved(world, settle(world.task, report, reading, world.now, _rules(world)))
    ours = reading.named <= {str(TASK_ID), GENERATION}
    told = frozenset(output.identity for output in reading.outputs if ours)
    return replace(after, held=rest, told=world.told | told)


def progress(world: World) -> Reading:
    """What has come of it so far; answers are cumulative."""
    known = world.truth[: world.made]
    there = [output(number) for number, comes in enumerate(known) if comes]
    return says(*there, failures=len(known) - len(there), pending=world.made < len(world.truth))


def signed_anew(world: World) -> Reading:
    """The same, with links that are signed for every answer."""
    told = progress(world)
    stamp = f"?at={(world.now - START).total_seconds()}"
    return replace(told, outputs=tuple(replace(o, link=f"{o.link}{stamp}") for o in told.outputs))


def batch_error(world: World) -> Reading:
    """One error for all that has not come to be, with nothing pending."""
    return replace(progress(world), pending=False) if world.made and not all(world.truth) else progress(world)


def fail_look(world: World) -> World | None:
    change = look_failed(world.task, world.now, look_rules(world.recovery), "no answer")
    return None if change.task is world.task else moved(world, change)


def search(found: Found | None) -> Step:
    def step(world: World) -> World | None:
        if world.recovery is not Recovery.LOOKUP or world.task.attempts == 0:
            return None
        looks = world.task.work is Work.LOOKUP
        change = looked_up(world.task, found, world.now, look_rules(world.recovery))
        return replace(moved(world, change), polls=world.polls + looks)

    return step


# ---------------------------------------------------------------- collecting


def fetch(world: World) -> World | None:
    waiting = [result for result in world.task.results if result.artifact.status is ArtifactStatus.PENDING]
    return replace(world, fetching=waiting[0].id) if waiting and world.fetching is None else None


def collect(how: Callable[[Task, UUID, datetime], Change | None]) -> Step:
    """How a download ended: of the result that was begun, even if it is gone, else of the first that waits."""

    def step(world: World) -> World | None:
        begun_with = world if world.fetching is not None else fetch(world)
        if begun_with is None or begun_with.fetching is None:
            return None
        change = how(world.task, begun_with.fetching, world.now)
        world = replace(world, fetching=None)
        return world if change is None else moved(world, change)

    return step


def keep(task: Task, result_id: UUID, now: datetime) -> Change | None:
    return collected(task, result_id, kept(task), now)


def refuse(task: Task, result_id: UUID, now: datetime) -> Change | None:
    return refused(task, result_id, "HTTP 404", now)


def falter(task: Task, result_id: UUID, now: datetime) -> Change | None:
    return interrupted(task, result_id, "reset", now, 0.5)


# ---------------------------------------------------------------- time and the user


def wait(time: timedelta) -> Step:
    return lambda world: replace(world, now=world.now + time)


def make(world: World) -> World | None:
    return replace(world, made=world.made + 1) if world.made < len(world.truth) and world.task.attempts else None


def sweep(world: World) -> World | None:
    change = overdue(world.task, world.now, LOST_AFTER)
    return None if change is None else moved(world, change)


def operate(operation: Callable[[Task, datetime], Change]) -> Step:
    def step(world: World) -> World | None:
        try:
            return moved(world, operation(world.task, world.now))
        except AlreadyTerminalError:
            assert world.task.status.terminal
            return None

    return step


#: Everything that can happen, by name.
STEPS: dict[str, Step] = {
    "begin": opened,
    "accepted": answer(Accepted(None)),
    "refused": answer(Refused(REFUSED)),
    "paused": answer(Paused(BUSY)),
    "not sent": answer(NotSent("no route")),
    "unclear": answer(Unclear("read timeout")),
    "newest accepted": answer(Accepted(None), -1),
    "newest refused": answer(Refused(REFUSED), -1),
    "newest unclear": answer(Unclear("read timeout"), -1),
    "die": die,
    "abandoned": close_abandoned,
    **{name: callback(name, reading) for name, reading in CALLBACKS.items()},
    "make": make,
    "poll": poll(progress),
    "poll, held": poll(progress, hold=True),
    "poll, signed anew": poll(signed_anew),
    "poll, batch error": poll(batch_error),
    "poll, silent": poll(lambda _: NOTHING),
    "poll, odd": poll(lambda _: says(oddities=("status archived",))),
    "poll, foreign": poll(lambda _: says(output(0), named=frozenset({"another"})), hold=False),
    "settle held": settle_held,
    "settle held, last": lambda world: settle_held(world, -1),
    "look failed": fail_look,
    "named in the log": search(Found(GENERATION)),
    "failed in the log": search(Found(GENERATION, failed=True)),
    "not in the log": search(None),
    "fetch": fetch,
    "stored": collect(keep),
    "gone": collect(refuse),
    "faltered": collect(falter),
    "sweep": sweep,
    "cancel": operate(cancel),
    "refresh": operate(refresh),
    "6 seconds": wait(timedelta(seconds=6)),
    "61 seconds": wait(timedelta(seconds=61)),
    "11 minutes": wait(timedelta(minutes=11)),
    "a deadline": wait(DEADLINE),
    "a day": wait(LOST_AFTER),
}


def run(world: World, names: Iterable[str]) -> World:
    """Let things happen in this order; what cannot happen does not."""
    for name in names:
        world = counted(STEPS[name](world)) or world
    return world


def drain(world: World, *, kind: bool) -> World:
    """Let everybody do their work from here on, with a provider that answers truly or, unkindly, not at all.

    Whoever held something is dead. Fails when there is nothing left to do and the task has not ended.
    """
    world = replace(world, flights=(), fetching=None, made=len(world.truth))
    for _ in range(6000):
        while world.held:
            world = settle_held(world) or world
        world = close_abandoned(world) or world
        pending = [r for r in world.task.results if r.artifact.status is ArtifactStatus.PENDING]
        due = [moment for moment in (world.task.due_at, *(r.artifact.due_at for r in pending)) if moment is not None]
        if not due:
            assert world.task.status.terminal
            return counted(world) or world
        world = replace(world, now=max(world.now, min(due)))
        world = _work(world, kind=kind)
        world = sweep(world) or world
        for result in pending:
            world = _bring_in(world, result, kind=kind)
    raise AssertionError(f"still {world.task.status} after {world.now - START}")


def _work(world: World, *, kind: bool) -> World:
    task = world.task
    if task.work is None or task.due_at is None or task.due_at > world.now:
        return world
    if task.work is Work.SUBMIT:
        after = opened(world) or world
        name = "newest accepted" if len(after.flights) > 1 else "accepted"
        return (STEPS[name] if kind else STEPS["not sent"])(after) or after
    name = {Work.POLL: "poll", Work.LOOKUP: "named in the log"}[task.work]
    name = name if kind else {Work.POLL: "poll, silent", Work.LOOKUP: "not in the log"}[task.work]
    return STEPS[name](world) or world


def _bring_in(world: World, result: Result, *, kind: bool) -> World:
    if result.artifact.due_at is None or result.artifact.due_at > world.now:
        return world
    change = (keep if kind else falter)(world.task, result.id, world.now)
    return world if change is None else moved(world, change)


def _rules(world: World) -> SettleRules:
    numbers = iter(range(len(world.received), len(world.received) + 64))
    return SettleRules(lambda _: PLAN, trusts, lambda: UUID(int=0xA0000000 + next(numbers)))
