"""Taking over a generation that was started elsewhere: nothing is sent for it, it is asked about until it ends."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver.domain.errors import FieldProblem
from receiver.domain.event import Event, EventType
from receiver.domain.request import TaskRequest
from receiver.domain.task import Change, Status, Task, Work

#: A generation of which the provider has never said a word is looked for this long, or until its deadline if that is
#: sooner: whoever started it may have told us its id before it could be asked about.
UNHEARD_OF = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A provider's verdict on a generation to adopt: its id as the provider spells it, and how many results it has.

    Both hold only where there are no ``problems``.
    """

    provider_task_id: str
    count: int
    problems: tuple[FieldProblem, ...] = ()


def request_of(provider: str, count: int) -> TaskRequest:
    """Return the request of a generation of which nothing is known but how many results to expect."""
    return TaskRequest(provider, prompt="", reference_audio="", count=count)


def adopt(task: Task) -> Change:
    """Return a task whose generation is under way already: it counts as submitted from now on, and is due for a look.

    It is never ``pushed``: whatever calls back for it calls somebody else.
    """
    now = task.created_at
    adopted = replace(
        task,
        status=Status.SUBMITTED,
        submitted_at=now,
        deadline_at=now + timedelta(seconds=task.deadline_seconds),
        work=Work.POLL,
        due_at=now,
    )
    created: dict[str, object] = {"provider": task.provider, "model": None, "count": task.expected, "adopted": True}
    submitted: dict[str, object] = {"provider_task_id": task.provider_task_id}
    return Change(
        adopted, (Event(EventType.TASK_CREATED, now, created), Event(EventType.TASK_SUBMITTED, now, submitted))
    )


def unknown_there(task: Task) -> str | None:
    """Return in words that no look found a trace of an adopted generation, None where one did or none was made."""
    if not _no_trace(task) or not task.polls or task.erased_at is not None:
        return None
    times = "once" if task.polls == 1 else f"{task.polls} times"
    return f"{task.provider} does not know this id (asked {times})"


def _no_trace(task: Task) -> bool:
    return task.request.adopted and task.answer_digest is None and not task.results


def never_heard_of(task: Task, now: datetime) -> bool:
    """Tell whether an adopted generation is to be given up because the provider seems not to know it at all."""
    if not _no_trace(task) or task.submitted_at is None:
        return False
    return now - task.submitted_at >= min(UNHEARD_OF, timedelta(seconds=task.deadline_seconds))
