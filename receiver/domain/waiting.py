"""What a task under way is waiting for, in words for whoever asks why nothing happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.domain.adoption import unknown_there
from receiver.domain.errors import ErrorCode, TaskError
from receiver.domain.result import LINK_AT_RISK, ArtifactStatus, Result
from receiver.domain.task import Status, Task, Work
from receiver.domain.values import Word


class WaitsFor(Word):
    """Who or what has to move next."""

    STORAGE = "storage"
    KEY = "key"
    PROVIDER = "provider"
    RETRY = "retry"
    CALLBACK = "callback"
    POLL = "poll"
    LOOKUP = "lookup"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for, and until when at the latest something of ours happens; None when that is open."""

    what: WaitsFor
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resting:
    """A provider that takes nothing from us."""

    until: datetime
    error: TaskError


#: While a provider's key is refused there is no use in asking it anything; without money it still answers.
STOPS_LOOKS = frozenset({ErrorCode.AUTH, ErrorCode.RATE})
#: How long after the end of a provider's rest the next try is awaited.
UNTIL_TRIED = timedelta(seconds=15)


def waiting(
    task: Task,
    now: datetime,
    *,
    resting: Resting | None,
    has_key: bool,
    trouble: str | None = None,
    learned_from: int = 0,
    unheard: bool = False,
) -> Waiting | None:
    """Return what a task waits for, or None for one that has ended or is being worked on.

    ``trouble`` says why our own database takes nothing, if so: then nothing else matters. ``learned_from``: the time
    of its looks follows from so many tasks; ``unheard``: the provider's callbacks fail to come.
    """
    if task.status.terminal:
        return None
    if trouble is not None:
        return Waiting(WaitsFor.STORAGE, f"our own database takes nothing ({trouble}); it is tried again and again")
    if task.status is Status.COLLECTING:
        return _audio(task, now)
    name = task.provider
    if not has_key:
        return Waiting(WaitsFor.KEY, f"no key is set for {name}: set {name.upper()}_API_KEY and start again")
    if resting is not None and _rests(task, resting, now):
        does = "takes nothing from us" if task.work is Work.SUBMIT else "tells us nothing"
        until = resting.until if resting.until > now else task.due_at
        return Waiting(WaitsFor.PROVIDER, f"{name} {does}: {resting.error.message}", until)
    found = _next_step(task, f" ({task.fault})" if task.fault else "")
    return found and _timed(task, found, learned_from, unheard=unheard)


def _timed(task: Task, found: Waiting, learned_from: int, *, unheard: bool) -> Waiting:
    """Return what is waited for with the reason why it comes then."""
    if unheard and found.what is WaitsFor.CALLBACK:
        found = Waiting(WaitsFor.POLL, f"our next look at {task.provider}, whose callbacks fail to come", found.until)
    if not learned_from or found.what is not WaitsFor.POLL or task.overdue:
        return found
    return Waiting(found.what, f"{found.message}, timed by its last {learned_from} tasks", found.until)


def _rests(task: Task, resting: Resting, now: datetime) -> bool:
    """Tell whether a task waits for a provider's rest to end.

    One that has just run out counts for what it kept back, until the next try has told whether the provider takes
    things again: else the answer would change to and fro.
    """
    if task.work is not Work.SUBMIT and resting.error.code not in STOPS_LOOKS:
        return False
    return resting.until > now or (task.tries > 0 and now - resting.until < UNTIL_TRIED)


def _next_step(task: Task, why: str) -> Waiting | None:
    name = task.provider
    if task.status is Status.QUEUED:
        message = f"sending it to {name} did not work{why}; it is tried again"
        return Waiting(WaitsFor.RETRY, message, task.due_at) if task.tries else None
    if task.work is Work.LOOKUP:
        search = f"searching the log of {name} did not work{why}" if task.tries else f"the log of {name} is searched"
        return Waiting(WaitsFor.LOOKUP, f"its answer was lost; {search}", task.due_at)
    if task.tries:
        # What may not have arrived is asked about and sent again under its id, by turns.
        may_not_be = task.status is Status.UNKNOWN
        lost, again = ("its answer was lost; ", ", or sending it again,") if may_not_be else ("", "")
        message = f"{lost}asking {name} about it{again} did not work{why}; it is asked again"
        return Waiting(WaitsFor.RETRY, message, task.due_at)
    if (unknown := unknown_there(task)) is not None:
        return Waiting(WaitsFor.RETRY, f"{unknown}: check it, or cancel", task.due_at)
    if task.pushed and not task.overdue:
        return Waiting(WaitsFor.CALLBACK, f"the callback of {name}; our own look comes next", task.due_at)
    return Waiting(WaitsFor.POLL, f"our next look at {name}", task.due_at)


def _audio(task: Task, now: datetime) -> Waiting | None:
    pending = [result for result in task.results if result.artifact.status is ArtifactStatus.PENDING]
    if not pending:
        return None
    dying = _dying(pending, now)
    failed = next((result.artifact for result in pending if result.artifact.error is not None), None)
    if failed is None:
        return Waiting(WaitsFor.AUDIO, f"its audio is being fetched{dying}")
    return Waiting(WaitsFor.AUDIO, f"fetching its audio did not work: {failed.error}{dying}", failed.due_at)


def _dying(pending: Sequence[Result], now: datetime) -> str:
    """Say by when the audio is to be fetched, when that is soon."""
    ends = [result.link_expires_at for result in pending if result.link_expires_at is not None]
    left = min(ends, default=now + 2 * LINK_AT_RISK) - now
    if left > LINK_AT_RISK:
        return ""
    if left <= timedelta():
        return "; its link has expired"
    minutes = -(-left // timedelta(minutes=1))
    return f"; its link dies in {minutes} minute{'s' if minutes > 1 else ''}"
