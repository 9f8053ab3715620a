"""Poll: ask a provider about tasks, count its answers, and hand on what is news as reports."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.errors import AnswerLostError, ErrorCode, NotSentError, TaskError, UnavailableError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.looking import Found, LookRules, is_news, look_failed, looked, looked_up
from receiver.domain.report import NewReport, Via
from receiver.domain.schedule import back_off
from receiver.domain.task import Change, Task, Work
from receiver.domain.values import quick, replace
from receiver.domain.watched import Look, Watched, usual_look
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.pace import Pace
from receiver.lifecycle.planning import plan_for
from receiver.lifecycle.ports import (
    Decision,
    Pause,
    Ports,
    Provider,
    Queue,
    Slice,
    Unanswered,
)
from receiver.lifecycle.record import insist, record

#: Clocks differ, and one that was an hour wrong when a task was sent may be right by now: the log is searched from
#: this long before the oldest lost submit. A wider search costs pages, a narrower one a task that was paid for.
CLOCK_MARGIN = timedelta(hours=2)
#: A walk of the log ends here, and has found out nothing about what it did not come to: five times what its limit
#: allows in a minute.
MOST_ROWS = 100_000
#: How often in a row a page may be refused for pace, and how long is waited for it each time at most.
MOST_REFUSALS = 3
LONGEST_WAIT = timedelta(seconds=60)


async def lease(ports: Ports, provider: Provider, limit: int) -> list[list[Watched]]:
    """Claim due tasks and sort them into questions, each for one request."""
    now = ports.system.now()
    leased = await ports.store.lease_looks(provider.name, now=now, limit=limit, lease=ports.limits.lease)
    together: list[Watched] = []
    alone: list[list[Watched]] = []
    for task in leased:
        if provider.batchable(task):
            together.append(task)
        else:
            alone.append([task])
    size = provider.most_polled_at_once
    return [together[start : start + size] for start in range(0, len(together), size)] + alone


async def poll(ports: Ports, provider: Provider, tasks: Sequence[Watched]) -> None:
    """Ask about leased tasks in one request and record what came of it."""
    ports.system.checkpoint("poll.before_send")
    asked_at = ports.system.now()
    observe_lateness(ports, Queue.POLL, [task.due_at for task in tasks], asked_at)
    answer = await _sent(ports, provider, provider.poll(tasks))
    outcome = answer if isinstance(answer, Unanswered) else provider.read_poll(tasks, answer)
    ports.system.checkpoint("poll.after_send")
    now = ports.system.now()
    if isinstance(outcome, Unanswered):
        await _no_answer(ports, provider, tasks, outcome, now)
        return
    found = [_Seen(task, outcome.slices.get(task.id), look_rules(ports, provider, task), asked_at) for task in tasks]
    decisions, unkept = [], []
    for seen in await _left(ports, found, now):
        try:
            decisions.append(await _decision(ports, provider, seen, now))
        except UnavailableError:
            # Too large for the database, and the artifact store does not take it now: it is asked for again.
            unkept.append(seen.task)
    changes = await record(ports, decisions, within=ports.limits.lease) if decisions else []
    if unkept:
        fault = TaskError(ErrorCode.UNKNOWN, "its answer could not be kept", retryable=True)
        await _no_answer(ports, provider, unkept, Unanswered(fault), now)
    ports.system.checkpoint("poll.after_record")
    ports.metrics.count("polls_answered", len(tasks) - len(unkept), provider=provider.name)
    if any(change is not None and change.report is not None for change in changes):
        ports.wake(Queue.SETTLE)
    if any(change is not None and change.task.work is Work.SUBMIT for change in changes):
        ports.wake(Queue.SUBMIT)


async def give_back(ports: Ports, tasks: Sequence[Watched]) -> None:
    """Let others have tasks that were leased for a look and are not to be asked about."""
    await ports.store.apply([Decision(task.key, Change, release=True) for task in tasks])


async def lease_lookups(ports: Ports, provider: Provider, limit: int) -> list[Task]:
    """Claim tasks whose submit's answer was lost and whose time to be searched for has come."""
    now = ports.system.now()
    leased = await ports.store.lease_tasks(Work.LOOKUP, provider.name, now=now, limit=limit, lease=ports.limits.lease)
    observe_lateness(ports, Queue.LOOKUP, [task.due_at for task in leased], now)
    return leased


async def look_up(
    ports: Ports, provider: Provider, tasks: Sequence[Task], paces: Sequence[Pace], go_on: Callable[[], bool]
) -> None:
    """Search the provider's log once for all leased tasks, each page in its turn by every one of ``paces``.

    What a page names is written down at once: a walk takes minutes where the log is long, and may break off anywhere.
    ``go_on`` is asked before each page; once it says no, what was not found is left to the end of its claim.
    """
    now = ports.system.now()
    oldest = min((task.unknown_since for task in tasks if task.unknown_since is not None), default=now)
    window = oldest - CLOCK_MARGIN, now + CLOCK_MARGIN
    left = {str(task.id): task for task in tasks}
    offset = refusals = 0
    more = True
    while left and more:
        if not go_on():
            return
        for pace in paces:
            await pace.turns()
        answer = await _sent(ports, provider, provider.search(*window, offset))
        page = answer if isinstance(answer, Unanswered) else provider.read_search(answer)
        if isinstance(page, Unanswered):
            refusals += 1
            wait = page.retry_after or back_off(refusals, ports.system.jitter(), base=2.0)
            if page.error.code is not ErrorCode.RATE or refusals > MOST_REFUSALS or wait > LONGEST_WAIT:
                await _no_answer(ports, provider, list(left.values()), page, ports.system.now())
                return
            # What was walked through already is not asked for again: a log that is nearly as long as its limit
            # allows would never be read to its end.
            await ports.system.sleep(wait.total_seconds())
            continue
        refusals = 0
        named = {name: left.pop(name) for name in page.found.keys() & left.keys()}
        await _searched(ports, provider, list(named.values()), page.found)
        offset, more = offset + page.rows, page.has_more
        if more and (not page.rows or offset >= MOST_ROWS):
            endless = TaskError(ErrorCode.PROVIDER, f"the log does not end within {offset} rows", retryable=True)
            await _no_answer(ports, provider, list(left.values()), Unanswered(endless), ports.system.now())
            return
    await _searched(ports, provider, list(left.values()), {})
    ports.system.checkpoint("poll.after_look_up")


async def _searched(ports: Ports, provider: Provider, tasks: Sequence[Task], found: Mapping[str, Found]) -> None:
    """Write down what the log says of tasks; what is not ``found`` it does not name."""
    now = ports.system.now()
    decisions = []
    for task in tasks:
        rules, name = look_rules(ports, provider, task), found.get(str(task.id))

        def decide(current: Task, rules: LookRules = rules, name: Found | None = name) -> Change:
            return looked_up(current, name, now, rules)

        decisions.append(Decision(task.key, decide, release=True))
    if decisions:
        await record(ports, decisions, within=ports.limits.lease)
        ports.wake(Queue.POLL)


def look_rules(ports: Ports, provider: Provider, task: Task | Watched) -> LookRules:
    """Gather what decides the time of the next look at ``task``."""
    return LookRules(
        plan=plan_for(ports, provider, task),
        recovery=provider.recovery,
        lookups=provider.lookups,
        jitter=ports.system.jitter(),
    )


async def _sent(ports: Ports, provider: Provider, question: HttpRequest) -> HttpAnswer | Unanswered:
    try:
        return await ports.outbound.send(provider.name, question)
    except (NotSentError, AnswerLostError) as error:
        return Unanswered(TaskError(ErrorCode.UNKNOWN, str(error), retryable=True))


async def _left(ports: Ports, found: Sequence["_Seen"], now: datetime) -> list["_Seen"]:
    """Write down of which tasks the answer says again that they are under way, as it does of nearly all.

    Return what was found of the others, or of those that are no longer as they were leased.
    """
    looks = [each.look(now) for each in found]
    plain = [look for look in looks if look is not None]
    if not plain:
        return [*found]
    done = iter(await insist(ports, lambda: ports.store.look(plain), within=ports.limits.lease))
    return [each for each, look in zip(found, looks, strict=True) if look is None or not next(done)]


@quick
@dataclass(frozen=True, slots=True)
class _Seen:
    """What a question sent at ``asked_at`` found out of a task. Some have no ``part`` in the answer."""

    task: Watched
    part: Slice | None
    rules: LookRules
    asked_at: datetime

    def look(self, now: datetime) -> Look | None:
        """Return the look that found nothing new, None for any other."""
        part = self.part
        if part is None or part.cost_micros is not None:
            return None
        digest = hashlib.sha256(part.body).digest()
        return usual_look(self.task, part.reading, digest, now, self.rules, self.asked_at)


async def _decision(ports: Ports, provider: Provider, seen: _Seen, now: datetime) -> Decision:
    task, part, rules = seen.task, seen.part, seen.rules
    if part is None:
        fault = f"{provider.name}'s answer does not speak of it"
        return Decision(task.key, lambda current: look_failed(current, now, rules, fault), release=True)
    report = await _report(ports, task, part, now)

    def decide(current: Task) -> Change:
        change = looked(current, part.reading, report, now, rules, asked_at=seen.asked_at)
        if part.cost_micros is not None and change.task.told_cost_micros is None:
            change = replace(change, task=replace(change.task, told_cost_micros=part.cost_micros))
        return change

    objects = (report.object_key,) if report.object_key else ()
    return Decision(task.key, decide, release=True, objects=objects)


async def _report(ports: Ports, task: Watched, part: Slice, now: datetime) -> NewReport:
    report_id = ports.system.new_key()
    digest = hashlib.sha256(part.body).digest()
    object_key = None
    if len(part.body) > ports.limits.spool_bytes and await _may_be_news(ports, task, part, digest):
        object_key = f"reports/{report_id}"
        await ports.objects.keep_bytes(part.body, object_key)
    return NewReport(
        id=report_id,
        task_key=task.key,
        provider=task.provider,
        via=Via.POLL,
        received_at=now,
        body=b"" if object_key else part.body,
        sha256=digest,
        size=len(part.body),
        object_key=object_key,
        sliced=part.sliced,
    )


async def _may_be_news(ports: Ports, task: Watched, part: Slice, digest: bytes) -> bool:
    whole = await ports.store.task(task.id)
    return whole is not None and is_news(whole, part.reading, digest)


async def _no_answer(
    ports: Ports, provider: Provider, tasks: Sequence[Task | Watched], outcome: Unanswered, now: datetime
) -> None:
    decisions = []
    for task in tasks:
        rules = look_rules(ports, provider, task)

        def decide(current: Task, rules: LookRules = rules) -> Change:
            return look_failed(current, now, rules, outcome.error.message, retry_after=outcome.retry_after)

        decisions.append(Decision(task.key, decide, release=True))
    await record(ports, decisions, within=ports.limits.lease)
    ports.metrics.count("polls_failed", len(tasks), provider=provider.name)
    if outcome.pauses:
        wait = outcome.retry_after or back_off(4, ports.system.jitter(), base=5.0)
        await ports.store.pause(Pause(provider.name, now + wait, outcome.error))
