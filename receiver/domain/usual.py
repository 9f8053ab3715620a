"""The usual callback: one more result, as asked for, of a task that waits for it. Decided in one step.

It is what nearly every report is. ``settlement`` comes to the same change by its rules, one after the other, each
with a copy of the task; a test holds the two against each other. Whatever is not quite usual is left to the rules.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.event import Event, EventType
from receiver.domain.report import Output, Reading, StoredReport, Verdict, Via
from receiver.domain.result import Artifact, Result
from receiver.domain.task import Change, Ruling, Status, Task
from receiver.domain.values import replace

# Each by itself: to ask an enumeration for a member takes longer than to compare it.
_CALLBACK, _SUBMITTED, _COLLECTING, _SETTLED = Via.CALLBACK, Status.SUBMITTED, Status.COLLECTING, Verdict.SETTLED
_RECEIVED, _TOLD, _KNOWN = EventType.CALLBACK_RECEIVED, EventType.RESULT_RECEIVED, EventType.TASK_SETTLED
#: A link is not believed to live longer than ten years, which no date can overflow by.
_LONGEST_LIFE_SECONDS = 315_360_000


def settle_usual(
    task: Task,
    report: StoredReport,
    reading: Reading,
    now: datetime,
    *,
    trusted_link: Callable[[str], bool],
    new_id: Callable[[], UUID],
) -> Change | None:
    """Return what a usual callback does to its task, None for any other report.

    ``trusted_link`` tells whether a link lies on the provider's own media hosts; ``new_id`` makes the id of a result.
    """
    if not _is_usual(task, report, reading):
        return None
    [output] = reading.outputs
    index, expected = len(task.results), task.expected
    if index >= expected or output.link is None or not trusted_link(output.link):
        return None
    at, report_id = report.received_at, report.id
    result = Result(
        id=new_id(),
        index=index,
        identity=output.identity,
        via=_CALLBACK,
        received_at=at,
        report_id=report_id,
        provider_result_id=output.provider_result_id,
        seed=output.seed,
        cost_micros=output.cost_micros,
        link=output.link,
        link_expires_at=expiry(task, report, output),
        artifact=Artifact(due_at=now),
    )
    received = Event(_RECEIVED, at, {"report_id": str(report_id), "bytes": report.size})
    told = Event(_TOLD, now, {"result_id": str(result.id), "index": index, "via": "callback"})
    rulings = (Ruling(report_id, _SETTLED),)
    results = (*task.results, result)
    if index + 1 < expected:
        waiting = replace(task, callbacks=task.callbacks + 1, results=results)
        return Change(waiting, (received, told), rulings=rulings)
    settled = replace(
        task,
        callbacks=task.callbacks + 1,
        results=results,
        status=_COLLECTING,
        settled_at=task.settled_at or now,
        work=None,
        due_at=None,
        tries=0,
        doubt_since=None,
        quiet_since=None,
    )
    known = Event(_KNOWN, now, {"results": expected, "failed": 0})
    return Change(settled, (received, told, known), rulings=rulings)


def expiry(task: Task, report: StoredReport, output: Output) -> datetime | None:
    """Return when a link dies: as it says itself, else by how long it was asked to live."""
    ttl = task.request.ttl_seconds
    if output.link is None or output.link_expires_at is not None or ttl is None:
        return output.link_expires_at
    return report.received_at + timedelta(seconds=min(ttl, _LONGEST_LIFE_SECONDS))


def _is_usual(task: Task, report: StoredReport, reading: Reading) -> bool:
    """Tell whether a callback brings one new result and nothing else to a task that waits and is in no doubt."""
    outputs = reading.outputs
    if report.via is not _CALLBACK or task.status is not _SUBMITTED or len(outputs) != 1:
        return False
    if reading.failures or reading.pending or reading.oddities or reading.cost_micros is not None:
        return False
    if task.errors or task.doubt is not None or outputs[0].inline is not None:
        return False
    # By the provider's own id alone; what the task is called otherwise, the rules know.
    if len(reading.named) != 1 or task.provider_task_id not in reading.named:
        return False
    return outputs[0].identity not in [result.identity for result in task.results]
