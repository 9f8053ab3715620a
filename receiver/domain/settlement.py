"""What a report does to a task: the one place where outcomes are decided, whichever channel told them.

Whoever knows a task's URL can call back, so of two callbacks that do not fit together either may be forged, also the
one that ended the task. A callback that differs from what is known of a result, names another host or brings more
results than were asked for therefore makes the provider's own answer due, even after the end, and that answer wins: a
result that only a callback told, and that the answer contradicts, gives way to what the provider names. The audio of
the former is dropped, that of the latter collected, and the status becomes what is then true, without a second event
for the end of the task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.asking import DISAGREEMENT, SETTLED_ENDS, asked_about, look_now, verify
from receiver.domain.ending import complete, failures_told, finish
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.event import Event, EventType
from receiver.domain.report import Output, Reading, StoredReport, Verdict, Via
from receiver.domain.result import Artifact, ArtifactStatus, Result, same_place
from receiver.domain.schedule import PollPlan
from receiver.domain.submission import evidence
from receiver.domain.task import Change, Ruling, Status, Task, Work
from receiver.domain.usual import expiry, settle_usual
from receiver.domain.values import replace

#: How long an answer that shows failures, nothing pending and fewer outcomes than asked for must stay the same.
QUIET = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SettleRules:
    """What settling needs besides the report.

    ``plan`` tells how often a task is looked at, ``trusted_link`` whether a link lies on the provider's own media
    hosts; ``new_id`` makes the id of a result.
    """

    plan: Callable[[Task], PollPlan]
    trusted_link: Callable[[str], bool]
    new_id: Callable[[], UUID]


def quarantine(task: Task, report: StoredReport, reason: str, now: datetime) -> Change:
    """Keep a report that cannot be used, say why, and ask the provider itself at once."""
    events = (
        *_received(report),
        Event(
            EventType.CALLBACK_QUARANTINED if report.via is Via.CALLBACK else EventType.POLL_ANSWERED,
            now,
            {"report_id": str(report.id), "reason": reason},
        ),
    )
    task = _counted(task, report)
    if report.via is Via.CALLBACK:
        task = look_now(task, now)
    return Change(task, events, rulings=(Ruling(report.id, Verdict.QUARANTINED, reason),))


def duplicate(task: Task, report: StoredReport, now: datetime) -> Change:
    """Count a report whose bytes are already stored; it changes nothing else."""
    event = Event(EventType.CALLBACK_DUPLICATE, now, {"report_id": str(report.id), "of": str(report.duplicate_of)})
    return Change(_counted(task, report), (event,), rulings=(Ruling(report.id, Verdict.DUPLICATE),))


def settle(task: Task, report: StoredReport, reading: Reading, now: datetime, rules: SettleRules) -> Change:
    """Move the task by what the report says.

    A callback is a hint from whoever knows the task's URL: its outputs are taken when they fit the task and lie on
    the provider's hosts, its failures only make the provider's own answer due. An answer we fetched ourselves
    decides.
    """
    usual = settle_usual(task, report, reading, now, trusted_link=rules.trusted_link, new_id=rules.new_id)
    return usual or weigh(task, report, reading, now, rules)


def weigh(task: Task, report: StoredReport, reading: Reading, now: datetime, rules: SettleRules) -> Change:
    """Like ``settle``, rule by rule, for every report."""
    foreign = sorted(name for name in reading.named if not is_own_name(task, name))
    if foreign:
        whose = "another task" if task.provider_task_id else "a task before the provider told its id of this one"
        return quarantine(task, report, f"names {whose}: {foreign[0][:64]}", now)
    if report.via is Via.CALLBACK and task.provider_task_id is None and not reading.named:
        # Nothing could be asked about it: without an id of the provider's there is no look to confirm it by.
        return quarantine(task, report, "names no task, and the provider has not told its id of this one", now)
    if reading.says_nothing:
        return quarantine(task, report, "says nothing about a result, a failure or progress", now)
    settling = _Settling(task, report, now, rules)
    settling.apply(reading)
    return settling.change()


def _asked_inline(task: Task) -> bool:
    return (task.request.output_type or "URL").upper() != "URL"


def is_own_name(task: Task, name: str) -> bool:
    """Tell whether a provider may speak of the task by this id."""
    return name == task.provider_task_id or name == str(task.id)


def _counted(task: Task, report: StoredReport) -> Task:
    return replace(task, callbacks=task.callbacks + 1) if report.via is Via.CALLBACK else task


def _received(report: StoredReport) -> tuple[Event, ...]:
    if report.via is not Via.CALLBACK:
        return ()
    data: dict[str, object] = {"report_id": str(report.id), "bytes": report.size}
    return (Event(EventType.CALLBACK_RECEIVED, report.received_at, data),)


class _Settling:
    """One report being applied; exists only inside ``settle``."""

    def __init__(self, task: Task, report: StoredReport, now: datetime, rules: SettleRules) -> None:
        self.after_the_end = task.status.terminal and task.status is not Status.LOST
        self.known_before = len(task.results) + failures_told(task)
        self.task = _counted(task, report)
        self.report = report
        self.trusted = report.via is not Via.CALLBACK
        self.now = now
        self.rules = rules
        self.events: list[Event] = list(_received(report))
        self.reasons: list[str] = []
        self.discarded: list[tuple[str, datetime]] = []
        self.conflict = False
        self.ask = False
        self.disputed = False

    def apply(self, reading: Reading) -> None:
        self._spoken_of()
        if reading.cost_micros is not None and (self.trusted or self.task.told_cost_micros is None):
            self.task = replace(self.task, told_cost_micros=reading.cost_micros)
        told = frozenset(output.identity for output in reading.outputs)
        for output in reading.outputs:
            self._output(output, told)
        self._unnamed(reading, told)
        self._surplus(reading)
        for oddity in reading.oddities:
            self._doubtful(f"unknown form: {oddity}", disputed=False)
        if self.task.status is Status.LOST and self.task.results:
            self._found(reading)
        elif self.task.status is Status.SUBMITTED and reading.failures:
            if self.trusted:
                self._failed(reading)
            else:
                self._perhaps_failed(reading)
        self._outcome_known()
        if self.disputed:
            self.task = verify(self.task, self.now)
        elif self.ask:
            self.task = look_now(self.task, self.now)
        elif self.trusted and self.task.doubt and self.task.status in {Status.COLLECTING, *SETTLED_ENDS}:
            self.task = asked_about(self.task)

    def _spoken_of(self) -> None:
        if self.task.status in {Status.QUEUED, Status.UNKNOWN}:
            self._proceed(evidence(self.task, self.now, self.rules.plan(self.task)))

    def change(self) -> Change:
        if self.conflict:
            verdict = Verdict.CONFLICT
        elif self.reasons:
            verdict = Verdict.QUARANTINED
        else:
            verdict = Verdict.SETTLED
        ruling = Ruling(self.report.id, verdict, "; ".join(self.reasons)[:500] or None)
        return Change(self.task, tuple(self.events), rulings=(ruling,), discarded=tuple(self.discarded))

    def _proceed(self, change: Change) -> None:
        self.task = change.task
        self.events.extend(change.events)

    def _output(self, output: Output, told: frozenset[str]) -> None:
        known = next((result for result in self.task.results if result.identity == output.identity), None)
        if known is not None:
            self._known_again(known, output)
        elif len(self.task.results) >= self.task.expected:
            self._over_count(output, told)
        elif not self.trusted and output.link is not None and not self.rules.trusted_link(output.link):
            self._doubtful("a link outside the provider's media hosts")
        elif not self.trusted and output.inline is not None and not _asked_inline(self.task):
            # Bytes in the body itself would come past the check of hosts.
            self._doubtful("inline audio where a link was asked for")
        else:
            self._add(output, len(self.task.results), late=self.after_the_end)

    def _over_count(self, output: Output, told: frozenset[str]) -> None:
        """Prefer what the provider's own answer names to what only a callback did."""
        rivals = [r for r in self.task.results if r.via is Via.CALLBACK and r.identity not in told]
        if not self.trusted or not rivals:
            self._doubtful("more results than were asked for")
            return
        self._replace(rivals[-1], output, "the provider's own answer does not name it")

    def _replace(self, wrong: Result, output: Output, reason: str) -> None:
        """Put what the provider names in the place of what a callback told."""
        self._drop(wrong, reason)
        self._add(output, wrong.index, late=wrong.late)

    def _drop(self, wrong: Result, reason: str) -> None:
        self.events.append(Event(EventType.RESULT_FAILED, self.now, {"result_id": str(wrong.id), "message": reason}))
        if wrong.artifact.object_key is not None:
            self.discarded.append((wrong.artifact.object_key, self.now))

    def _unnamed(self, reading: Reading, told: frozenset[str]) -> None:
        """Give up what only callbacks told, where the provider's own answer has every outcome and not this one.

        An answer without any output gives up nothing: what the provider has forgotten may fail in its answers.
        """
        outcomes = len(told) + len(reading.failures)
        if not self.trusted or not told or reading.pending or outcomes < self.task.expected:
            return
        for result in self.task.results:
            has_or_wants_audio = result.artifact.status in {ArtifactStatus.PENDING, ArtifactStatus.STORED}
            if result.via is not Via.CALLBACK or result.identity in told or not has_or_wants_audio:
                continue
            reason = "the provider's own answer does not name it"
            self._drop(result, reason)
            artifact = Artifact(ArtifactStatus.FAILED, attempts=result.artifact.attempts + 1, error=reason)
            self._put(result.index, replace(result, artifact=artifact))
            self._not_late(told)
            errors = (*self.task.errors, TaskError(ErrorCode.ARTIFACT_UNAVAILABLE, reason))
            self.task = replace(self.task, errors=errors)
            self._proceed(complete(self.task, self.now))

    def _not_late(self, told: frozenset[str]) -> None:
        """Let a result that seemed to come too late, as a forged one had its place, be one of those asked for."""
        if self.task.status in SETTLED_ENDS:
            late = next((result for result in self.task.results if result.late and result.identity in told), None)
            if late is not None:
                self._put(late.index, replace(late, late=False))

    def _surplus(self, reading: Reading) -> None:
        """Doubt what callbacks told where there are more outcomes than were asked for."""
        outcomes = len(self.task.results) + failures_told(self.task)
        failed_too = reading.failures and len(self.task.results) >= self.task.expected
        if not self.trusted and (failed_too or outcomes > self.task.expected):
            self.disputed = True

    def _put(self, index: int, result: Result) -> None:
        results = (*self.task.results[:index], result, *self.task.results[index + 1 :])
        self.task = replace(self.task, results=results)

    def _add(self, output: Output, index: int, *, late: bool) -> None:
        result = Result(
            id=self.rules.new_id(),
            index=index,
            identity=output.identity,
            via=self.report.via,
            received_at=self.report.received_at,
            report_id=self.report.id,
            inline=output.inline is not None,
            late=late,
            provider_result_id=output.provider_result_id,
            seed=output.seed,
            cost_micros=output.cost_micros,
            link=output.link,
            link_expires_at=expiry(self.task.request.ttl_seconds, self.report, output),
            artifact=Artifact(due_at=self.now),
        )
        self._put(index, result)
        data: dict[str, object] = {
            "result_id": str(result.id),
            "index": result.index,
            "via": result.via.value,
        }
        if late:
            data["late"] = True
        self.events.append(Event(EventType.RESULT_RECEIVED, self.now, data))

    def _known_again(self, known: Result, output: Output) -> None:
        same_seed = known.seed is None or output.seed is None or known.seed == output.seed
        same_form = same_place(known.link, output.link) and (output.inline is not None) == known.inline
        if self.trusted and known.via is Via.CALLBACK and not same_form:
            self._replace(known, output, "the provider's own answer names another audio")
        elif self.trusted or (same_seed and same_form):
            self._renew(known, output)
        else:
            self.conflict = True
            self.reasons.append("differs from what is known of this result")
            data: dict[str, object] = {"report_id": str(self.report.id), "result_id": str(known.id)}
            self.events.append(Event(EventType.CALLBACK_CONFLICT, self.now, data))
            self.disputed = True

    def _renew(self, known: Result, output: Output) -> None:
        """Fill in what was unknown, and take a fresh link while the audio is still to be had."""
        renewed = replace(
            known,
            seed=self._better(known.seed, output.seed),
            cost_micros=self._better(known.cost_micros, output.cost_micros),
        )
        waiting = known.artifact.status is ArtifactStatus.PENDING
        if waiting and self.trusted and output.link is not None and output.link != known.link:
            # A link that had died deserves a fresh one at once; later refusals keep their gaps, else a link that is
            # signed anew for every answer would use them all up in seconds.
            at_once = known.artifact.refusals <= 1
            renewed = replace(
                renewed,
                inline=False,
                link=output.link,
                link_expires_at=expiry(self.task.request.ttl_seconds, self.report, output),
                artifact=replace(known.artifact, due_at=self.now if at_once else known.artifact.due_at),
            )
        self._put(known.index, renewed)

    def _better(self, known: int | None, told: int | None) -> int | None:
        return told if told is not None and (known is None or self.trusted) else known

    def _doubtful(self, reason: str, *, disputed: bool = True) -> None:
        self.reasons.append(reason)
        if self.report.via is Via.CALLBACK:
            data: dict[str, object] = {"report_id": str(self.report.id), "reason": reason}
            self.events.append(Event(EventType.CALLBACK_QUARANTINED, self.now, data))
            self.ask = True
            self.disputed |= disputed

    def _found(self, reading: Reading) -> None:
        found = Event(EventType.TASK_FOUND, self.now, {"results": len(self.task.results)})
        self.events.append(found)
        self.task = replace(
            self.task,
            status=Status.SUBMITTED,
            submitted_at=self.task.submitted_at or self.task.unknown_since or self.now,
            completed_at=None,
            errors=tuple(failure.error for failure in reading.failures) if self.trusted else (),
        )
        self._proceed(finish(self.task, self.now))

    def _perhaps_failed(self, reading: Reading) -> None:
        """A callback can be forged, repeated or overtaken: its failure is only a reason to ask."""
        if self.task.doubt in {None, DISAGREEMENT}:
            self.task = replace(self.task, doubt=reading.failures[0].error, doubt_since=self.now)
        self.task = look_now(self.task, self.now)

    def _failed(self, reading: Reading) -> None:
        """Take the failures of an answer: answers are cumulative, so these replace the former."""
        ours = tuple(error for error in self.task.errors if error.code is ErrorCode.ARTIFACT_UNAVAILABLE)
        self.task = replace(self.task, errors=(*ours, *(failure.error for failure in reading.failures)))
        known = len(self.task.results) + len(reading.failures)
        if known >= self.task.expected or reading.pending:
            return
        # One error may speak for the whole batch or for one of its results: believed when it stays so.
        since = self.task.quiet_since if known == self.known_before else None
        if since is not None and self.now - since >= QUIET:
            self._proceed(finish(self.task, self.now))
            return
        since = since or self.now
        self.task = replace(self.task, quiet_since=since, work=Work.POLL, due_at=since + QUIET)

    def _outcome_known(self) -> None:
        known = len(self.task.results) + failures_told(self.task)
        if self.task.status is Status.SUBMITTED and known >= self.task.expected:
            self._proceed(finish(self.task, self.now))
