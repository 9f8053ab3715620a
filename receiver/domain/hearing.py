"""How it is heard what becomes of a task: whether its callback is still awaited, and what tells if none comes."""

from datetime import datetime, timedelta

from receiver.domain.report import Via
from receiver.domain.task import Status, Task, Work

#: Whoever has not called back by so long after the outcome was known is not expected to any more.
_STILL_EXPECTED = timedelta(minutes=10)


def hearing(task: Task, now: datetime, *, pushes: bool, unheard: bool) -> str:
    """Return in one sentence or two how we hear of a task; none of it a stranger's words.

    ``pushes``: its provider calls back at all. ``unheard``: its callbacks fail to come lately.
    """
    if task.status is Status.QUEUED:
        return "Nothing is to be heard before it is sent."
    if not _was_taken(task):
        return "Nothing is to be heard: it was never taken."
    if task.erased_at is not None:
        return _of_a_husk(task)
    if not task.pushed:
        return _without_callbacks(task, pushes=pushes)
    if task.callbacks:
        return _called_back(task)
    return _not_called_back(task, now, unheard=unheard)


def _was_taken(task: Task) -> bool:
    return bool(task.submitted_at or task.unknown_since or task.results or task.callbacks or task.polls)


def _without_callbacks(task: Task, *, pushes: bool) -> str:
    name = task.provider
    if task.request.adopted:
        why = f"It was started elsewhere, so {name} calls nobody here back"
    elif pushes:
        why = f"{name} was given no address to call back to, as none was set (RECEIVER_PUBLIC_URL)"
    else:
        why = f"{name} never calls back"
    if task.work is Work.LOOKUP:
        return f"{why}: its log is searched for it, where a generation shows once it has ended."
    if task.status is Status.LOST:
        return f"{why}, and our own looks never found out."
    if task.status is Status.CANCELLED:
        return f"{why}, and it is not asked about any more."
    if task.settled_at is not None:
        return f"{why}: {_who_told(task)} told."
    return f"{why}: it is asked about until it tells."


def _of_a_husk(task: Task) -> str:
    """Whatever is still said of an erased task changes nothing, and whether it was adopted is not known any more."""
    if task.callbacks:
        return f"{_came(task)}."
    if task.settled_at is None:
        return "Nothing was heard of it. What still comes changes nothing."
    return f"{_who_told(task).capitalize()} told."


def _who_told(task: Task) -> str:
    answered = bool(task.results) and all(result.via is Via.SUBMIT for result in task.results)
    return "the answer to its submit" if answered else "our own looks"


def _came(task: Task) -> str:
    return "Its callback came" if task.callbacks == 1 else f"{task.callbacks} callbacks came"


def _called_back(task: Task) -> str:
    name, came = task.provider, _came(task)
    if task.settled_at is not None:
        return f"{came}, but our own look had told first." if task.missed and not _by_callback(task) else f"{came}."
    if task.doubt is not None:
        return f"{came} and told of a failure: that is believed once {name} says the same to us, or says nothing."
    if task.results:
        return (
            f"{came}, {len(task.results)} of {task.expected} results are known. Each has a callback of its own; "
            "our own looks find those whose callback does not come."
        )
    if task.status is Status.LOST:
        return f"{came}, and told nothing that could be believed."
    if task.status is Status.CANCELLED:
        return f"{came}. What still comes is written down, and no more is asked."
    return f"{came}, but told nothing that could be believed: our own look tells."


def _by_callback(task: Task) -> bool:
    return any(result.via is Via.CALLBACK for result in task.results)


def _not_called_back(task: Task, now: datetime, *, unheard: bool) -> str:
    if task.status is Status.LOST:
        return "Neither a callback nor our own looks told. Should its callback still come, it is taken, and found."
    if task.status is Status.CANCELLED:
        return "Its callback is written down should it still come; no more is asked."
    if task.settled_at is None:
        return _awaited(task, unheard=unheard)
    if now - task.settled_at < _STILL_EXPECTED:
        return "No callback came yet: our own look told. One that still comes changes nothing."
    return "No callback came: our own look told. None is expected any more."


def _awaited(task: Task, *, unheard: bool) -> str:
    name = task.provider
    if task.status is Status.UNKNOWN:
        return f"Its callback would prove that {name} has it; our own looks ask for that too."
    if task.overdue:
        return "Its callback should have come long ago. Our own looks go on, and it is taken should it still come."
    if unheard:
        return f"Callbacks of {name} fail to come lately, so our own looks come early; one that comes is taken."
    return (
        f"Its callback is still awaited: {name} calls once it is made, and for a short while again if we do not "
        "answer. Should none come, our own look tells."
    )
