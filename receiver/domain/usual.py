"""The usual callback: one more result, as asked for, of a task that waits for it. Decided in one step.

It is what nearly every report is, and little of a task has to be known to decide on it. ``settlement`` comes to the
same change by its rules, one after the other, each with a copy of the whole task; a test holds the two against each
other. Whatever is not quite usual is left to the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.event import Event, EventType
from receiver.domain.report import Output, Reading, StoredReport, Verdict, Via
from receiver.domain.result import Artifact, Result
from receiver.domain.task import Change, Ruling, Status, Task
from receiver.domain.values import quick, replace

# Each by itself: to ask an enumeration for a member takes longer than to compare it.
_CALLBACK, _SUBMITTED, _COLLECTING = Via.CALLBACK, Status.SUBMITTED, Status.COLLECTING
#: What is told of a result, in this order: where others are to follow, and where none is.
FIRST_TOLD = (EventType.CALLBACK_RECEIVED, EventType.RESULT_RECEIVED)
LAST_TOLD = (*FIRST_TOLD, EventType.TASK_SETTLED)
#: A link is not believed to live longer than ten years, which no date can overflow by.
_LONGEST_LIFE_SECONDS = 315_360_000


@quick
@dataclass(frozen=True, slots=True)
class Waiting:
    """What has to be known of a task that is ``submitted``, without errors and in no doubt, to settle its callback.

    ``told`` are the identities of its results so far; the other fields are those of the task and of its request.
    """

    key: UUID
    id: UUID
    provider: str
    pushed: bool
    provider_task_id: str | None
    expected: int
    ttl_seconds: int | None
    told: tuple[str, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Arrival:
    """What a usual callback does to a task that waits: another result, and with the last one it is collected.

    ``task`` is the task before it; the ``report`` brought the ``output``, which becomes the result ``result_id`` at
    ``index``; ``at`` is when this was decided. The report is settled, with nothing to say of it. What follows from
    these is made when it is asked for: a store writes it down without any of it.
    """

    task: Waiting
    report: StoredReport
    output: Output
    result_id: UUID
    index: int
    at: datetime

    @property
    def is_last(self) -> bool:
        """Whether this was the last result that was asked for."""
        return self.index + 1 == self.task.expected

    @property
    def link_expires_at(self) -> datetime | None:
        """When the link of the result dies."""
        return expiry(self.task.ttl_seconds, self.report, self.output)

    @property
    def result(self) -> Result:
        """The result, its audio to be fetched at once."""
        report, output = self.report, self.output
        return Result(
            id=self.result_id,
            index=self.index,
            identity=output.identity,
            via=_CALLBACK,
            received_at=report.received_at,
            report_id=report.id,
            provider_result_id=output.provider_result_id,
            seed=output.seed,
            cost_micros=output.cost_micros,
            link=output.link,
            link_expires_at=self.link_expires_at,
            artifact=Artifact(due_at=self.at),
        )

    @property
    def events(self) -> tuple[Event, ...]:
        """What is told of it in the task's timeline; of these types and no others: ``FIRST_TOLD``, ``LAST_TOLD``."""
        report, at = self.report, self.at
        first = (
            Event(FIRST_TOLD[0], report.received_at, {"report_id": str(report.id), "bytes": report.size}),
            Event(FIRST_TOLD[1], at, {"result_id": str(self.result_id), "index": self.index, "via": _CALLBACK.value}),
        )
        known = {"results": self.task.expected, "failed": 0}
        return (*first, Event(LAST_TOLD[-1], at, known)) if self.is_last else first


def arrive(
    waiting: Waiting,
    report: StoredReport,
    reading: Reading,
    now: datetime,
    trusted_link: Callable[[str], bool],
    new_id: Callable[[], UUID],
) -> Arrival | None:
    """Return what a report that ``is_usual`` does to a task that waits; None where it does not fit that task.

    ``trusted_link`` tells whether a link lies on the provider's own media hosts; ``new_id`` makes the id of a result.
    """
    if waiting.provider_task_id not in reading.named:
        return None
    [output] = reading.outputs
    index = len(waiting.told)
    if index >= waiting.expected or output.identity in waiting.told:
        return None
    if output.link is None or not trusted_link(output.link):
        return None
    return Arrival(waiting, report, output, new_id(), index, now)


#: What was done to a task, in whichever form it was decided.
Done = Change | Arrival


def settle_usual(
    task: Task,
    report: StoredReport,
    reading: Reading,
    now: datetime,
    *,
    trusted_link: Callable[[str], bool],
    new_id: Callable[[], UUID],
) -> Change | None:
    """Return what a usual callback does to its task, as ``arrive`` does; None also for what is not as usual."""
    if task.status is not _SUBMITTED or task.errors or task.doubt is not None or not is_usual(report, reading):
        return None
    waiting = Waiting(
        task.key,
        task.id,
        task.provider,
        task.pushed,
        task.provider_task_id,
        task.expected,
        task.request.ttl_seconds,
        tuple([result.identity for result in task.results]),
    )
    arrival = arrive(waiting, report, reading, now, trusted_link, new_id)
    if arrival is None:
        return None
    after = replace(task, callbacks=task.callbacks + 1, results=(*task.results, arrival.result))
    if arrival.is_last:
        after = replace(
            after,
            status=_COLLECTING,
            settled_at=task.settled_at or now,
            work=None,
            due_at=None,
            tries=0,
            fault=None,
            doubt_since=None,
            quiet_since=None,
        )
    return Change(after, arrival.events, rulings=(Ruling(report.id, Verdict.SETTLED),))


def is_usual(report: StoredReport, reading: Reading) -> bool:
    """Tell whether a report is a callback that brings one result, and nothing else, of one task by its provider's id.

    What a task is called otherwise, the rules know.
    """
    if report.via is not _CALLBACK or len(reading.outputs) != 1 or len(reading.named) != 1:
        return False
    if reading.failures or reading.pending or reading.oddities or reading.cost_micros is not None:
        return False
    return reading.outputs[0].inline is None


def expiry(ttl_seconds: int | None, report: StoredReport, output: Output) -> datetime | None:
    """Return when a link dies: as it says itself, else by how long it was asked to live."""
    if output.link is None or output.link_expires_at is not None or ttl_seconds is None:
        return output.link_expires_at
    return report.received_at + timedelta(seconds=min(ttl_seconds, _LONGEST_LIFE_SECONDS))
