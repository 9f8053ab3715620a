"""Poll: ask a provider about tasks, count its answers, and hand on what is news as reports."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from receiver.domain.errors import AnswerLostError, ErrorCode, NotSentError, TaskError, UnavailableError
from receiver.domain.looking import Found, LookRules, is_news, look_failed, looked, looked_up
from receiver.domain.report import NewReport, Via
from receiver.domain.schedule import back_off
from receiver.domain.task import Change, Task, Work
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.pace import Pace
from receiver.lifecycle.planning import plan_for
from receiver.lifecycle.ports import (
    Answered,
    Decision,
    LogPage,
    Pause,
    Ports,
    Provider,
    Queue,
    Slice,
    Unanswered,
)
from receiver.lifecycle.record import record

#: Clocks differ, and one that was an hour wrong when a task was sent may be right by now: the log is searched from
#: this long before the oldest lost submit. A wider search costs pages, a narrower one a task that was paid for.
CLOCK_MARGIN = timedelta(hours=2)
#: A walk of the log ends here: 200 pages of 100 rows.
MOST_PAGES = 200


async def lease(ports: Ports, provider: Provider, limit: int) -> list[list[Task]]:
    """Claim due tasks and sort them into questions, each for one request."""
    now = ports.system.now()
    leased = await ports.store.lease_tasks(Work.POLL, provider.name, now=now, limit=limit, lease=ports.limits.lease)
    observe_lateness(ports, Queue.POLL, [task.due_at for task in leased], now)
    together = [task for task in leased if provider.batchable(task)]
    size = provider.most_polled_at_once
    batches = [together[start : start + size] for start in range(0, len(together), size)]
    return batches + [[task] for task in leased if not provider.batchable(task)]


async def poll(ports: Ports, provider: Provider, tasks: Sequence[Task]) -> None:
    """Ask about leased tasks in one request and record what came of it."""
    ports.system.checkpoint("poll.before_send")
    asked_at = ports.system.now()
    outcome = await _ask(ports, provider, tasks)
    ports.system.checkpoint("poll.after_send")
    now = ports.system.now()
    if isinstance(outcome, Unanswered):
        await _no_answer(ports, provider, tasks, outcome, now)
        return
    try:
        decisions = [
            await _decision(ports, provider, task, outcome.slices.get(task.id), asked_at=asked_at, now=now)
            for task in tasks
        ]
    except UnavailableError as error:
        # Too large an answer for the database, and the artifact store does not take it now: it is asked for again.
        fault = TaskError(ErrorCode.UNKNOWN, str(error), retryable=True)
        await _no_answer(ports, provider, tasks, Unanswered(fault), now)
        return
    changes = await record(ports, decisions, within=ports.limits.lease)
    ports.system.checkpoint("poll.after_record")
    ports.metrics.count("polls_answered", len(tasks), provider=provider.name)
    if any(change is not None and change.report is not None for change in changes):
        ports.wake(Queue.SETTLE)
    if any(change is not None and change.task.work is Work.SUBMIT for change in changes):
        ports.wake(Queue.SUBMIT)


async def lease_lookups(ports: Ports, provider: Provider, limit: int) -> list[Task]:
    """Claim tasks whose submit's answer was lost and whose time to be searched for has come."""
    now = ports.system.now()
    leased = await ports.store.lease_tasks(Work.LOOKUP, provider.name, now=now, limit=limit, lease=ports.limits.lease)
    observe_lateness(ports, Queue.LOOKUP, [task.due_at for task in leased], now)
    return leased


async def look_up(ports: Ports, provider: Provider, tasks: Sequence[Task], paces: Sequence[Pace]) -> None:
    """Search the provider's log once for all leased tasks, each page in its turn by every one of ``paces``.

    A search that breaks off has found what it found; only of the others nothing is known.
    """
    now = ports.system.now()
    oldest = min((task.unknown_since for task in tasks if task.unknown_since is not None), default=now)
    found: dict[str, Found] = {}
    broken = await _walk(ports, provider, tasks, (oldest - CLOCK_MARGIN, now + CLOCK_MARGIN), paces, found)
    # Minutes later, where the log has many pages or nobody answered: the next rest begins here.
    now = ports.system.now()
    if broken is not None:
        missed = [task for task in tasks if str(task.id) not in found]
        await _no_answer(ports, provider, missed, broken, now)
        tasks = [task for task in tasks if str(task.id) in found]
    decisions = []
    for task in tasks:
        rules, name = look_rules(ports, provider, task), found.get(str(task.id))

        def decide(current: Task, rules: LookRules = rules, name: Found | None = name) -> Change:
            return looked_up(current, name, now, rules)

        decisions.append(Decision(task.key, decide, release=True))
    await record(ports, decisions, within=ports.limits.lease)
    ports.system.checkpoint("poll.after_look_up")
    ports.wake(Queue.POLL)


def look_rules(ports: Ports, provider: Provider, task: Task) -> LookRules:
    """Gather what decides the time of the next look at ``task``."""
    return LookRules(
        plan=plan_for(ports, provider, task),
        recovery=provider.recovery,
        lookups=provider.lookups,
        jitter=ports.system.jitter(),
    )


async def _ask(ports: Ports, provider: Provider, tasks: Sequence[Task]) -> Answered | Unanswered:
    try:
        answer = await ports.outbound.send(provider.name, provider.poll(tasks))
    except (NotSentError, AnswerLostError) as error:
        return Unanswered(TaskError(ErrorCode.UNKNOWN, str(error), retryable=True))
    return provider.read_poll(tasks, answer)


async def _walk(
    ports: Ports,
    provider: Provider,
    tasks: Sequence[Task],
    window: tuple[datetime, datetime],
    paces: Sequence[Pace],
    found: dict[str, Found],
) -> Unanswered | None:
    """Page through the log until every task is ``found`` or the log ends; return what broke that off."""
    wanted = {str(task.id) for task in tasks}
    since, until = window
    offset = 0
    for _ in range(MOST_PAGES):
        for pace in paces:
            await pace.turns()
        try:
            answer = await ports.outbound.send(provider.name, provider.search(since, until, offset))
        except (NotSentError, AnswerLostError) as error:
            return Unanswered(TaskError(ErrorCode.UNKNOWN, str(error), retryable=True))
        page: LogPage | Unanswered = provider.read_search(answer)
        if isinstance(page, Unanswered):
            return page
        found |= {name: entry for name, entry in page.found.items() if name in wanted}
        if not page.has_more or len(found) == len(wanted):
            break
        offset += page.rows
    return None


async def _decision(
    ports: Ports, provider: Provider, task: Task, part: Slice | None, *, asked_at: datetime, now: datetime
) -> Decision:
    rules = look_rules(ports, provider, task)
    if part is None:
        return Decision(task.key, lambda current: look_failed(current, now, rules), release=True)
    report = await _report(ports, task, part, now)

    def decide(current: Task) -> Change:
        change = looked(current, part.reading, report, now, rules, asked_at=asked_at)
        if part.cost_micros is not None and change.task.told_cost_micros is None:
            change = replace(change, task=replace(change.task, told_cost_micros=part.cost_micros))
        return change

    objects = (report.object_key,) if report.object_key else ()
    return Decision(task.key, decide, release=True, objects=objects, seen=task)


async def _report(ports: Ports, task: Task, part: Slice, now: datetime) -> NewReport:
    report_id = ports.system.new_key()
    digest = hashlib.sha256(part.body).digest()
    object_key = None
    if len(part.body) > ports.limits.spool_bytes and is_news(task, part.reading, digest):
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


async def _no_answer(
    ports: Ports, provider: Provider, tasks: Sequence[Task], outcome: Unanswered, now: datetime
) -> None:
    decisions = []
    for task in tasks:
        rules = look_rules(ports, provider, task)

        def decide(current: Task, rules: LookRules = rules) -> Change:
            return look_failed(current, now, rules, retry_after=outcome.retry_after)

        decisions.append(Decision(task.key, decide, release=True))
    await record(ports, decisions, within=ports.limits.lease)
    ports.metrics.count("polls_failed", len(tasks), provider=provider.name)
    if outcome.pauses:
        wait = outcome.retry_after or back_off(4, ports.system.jitter(), base=5.0)
        await ports.store.pause(Pause(provider.name, now + wait, outcome.error))
