"""Whether a task was billed, as far as anybody can know, in words for whoever pays."""

from dataclasses import dataclass
from enum import StrEnum

from receiver.domain.adoption import unknown_there
from receiver.domain.errors import ErrorCode
from receiver.domain.task import Recovery, Status, Task

_MICROS = 1_000_000


class Billed(StrEnum):
    """What is known of a bill."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"
    NOT_YET = "not_yet"


@dataclass(frozen=True, slots=True)
class Billing:
    """What is known of a bill, and one sentence that says by whom or why; none of it a stranger's words."""

    billed: Billed
    message: str


def billing(task: Task, *, recovery: Recovery | None, bills_failures: bool | None) -> Billing:
    """Return whether a task was billed.

    ``recovery`` is how its provider lets a lost submit be found, None where the provider is not known any more;
    ``bills_failures`` what it documents of generations that failed, None where it documents nothing.
    """
    if task.cost_micros is not None:
        return _told(task, task.cost_micros)
    if (unknown := unknown_there(task)) is not None:
        return Billing(Billed.PERHAPS, f"Not known: {unknown}. The account that it was made with tells.")
    return (
        _ended(task, recovery, bills_failures=bills_failures) if task.status.terminal else _under_way(task, recovery)
    )


def dollars(micros: int) -> str:
    """Return micro-dollars as dollars with cents, and with what is smaller than a cent where there is some."""
    sign, whole = ("-" if micros < 0 else ""), abs(micros)
    rest = f"{whole % _MICROS:06d}"
    return f"{sign}${whole // _MICROS:,}.{rest[:2]}{rest[2:].rstrip('0')}"


def _under_way(task: Task, recovery: Recovery | None) -> Billing:
    name = task.provider
    if task.status is Status.QUEUED:
        return Billing(Billed.NO, f"Not billed: {name} has not taken it yet.")
    if task.status is Status.UNKNOWN:
        lost = "it was sent and no clear answer came"
        return Billing(Billed.PERHAPS, f"Perhaps billed: {lost}. {_once(name, recovery)}")
    if task.status is Status.SUBMITTED:
        return Billing(Billed.NOT_YET, f"{name} has taken it and bills it once it is made; {_when_told(task)}.")
    return _made(task)


def _ended(task: Task, recovery: Recovery | None, *, bills_failures: bool | None) -> Billing:
    if task.status is Status.FAILED:
        return _failed(task, bills_failures=bills_failures)
    if task.status is Status.LOST:
        return _lost(task, recovery)
    if task.status is Status.CANCELLED:
        return _cancelled(task)
    return _made(task)


def _made(task: Task) -> Billing:
    return Billing(Billed.YES, f"Billed, as {task.provider} made it; {_untold(task)}.")


def _told(task: Task, cost_micros: int) -> Billing:
    name, cost = task.provider, dollars(cost_micros)
    if not cost_micros:
        return Billing(Billed.NO, f"Not billed: {name} told a cost of {cost}.")
    costed = sum(result.cost_micros is not None for result in task.results)
    known = task.told_cost_micros is not None or costed >= task.expected
    if not known and not task.status.terminal:
        return Billing(Billed.YES, f"Billed {cost} so far, as {name} told for {costed} of {task.expected} results.")
    if not known and costed < len(task.results):
        return Billing(
            Billed.YES, f"Billed {cost} or more: {name} told the cost of {costed} results of {len(task.results)}."
        )
    if task.status in {Status.FAILED, Status.LOST}:
        return Billing(Billed.YES, f"Billed {cost}, as {name} told, although no audio could be had.")
    if task.status is Status.CANCELLED:
        return Billing(Billed.YES, f"Billed {cost}, as {name} told: it went on although nobody waited any more.")
    return Billing(Billed.YES, f"Billed {cost}, as {name} told.")


def _failed(task: Task, *, bills_failures: bool | None) -> Billing:
    name = task.provider
    if task.results:
        return Billing(
            Billed.YES, f"Billed, most likely: {name} made it, only its audio could not be had; {_untold(task)}."
        )
    if any(error.code is ErrorCode.NOT_SENT for error in task.errors):
        return Billing(Billed.NO, f"Not billed: {name} never took it.")
    if task.submitted_at is None and task.unknown_since is None:
        return Billing(Billed.NO, f"Not billed: {name} refused it before anything was made.")
    if bills_failures is False:
        return Billing(Billed.NO, f"Not billed: {name} documents that it bills nothing for a generation that failed.")
    if bills_failures:
        return Billing(Billed.YES, f"Billed: {name} documents that it bills generations that failed too.")
    return Billing(
        Billed.PERHAPS,
        f"Not known: {name} told no cost of it, and does not document whether one that failed is billed. "
        "Your account there tells.",
    )


def _lost(task: Task, recovery: Recovery | None) -> Billing:
    name = task.provider
    if task.submitted_at is not None:
        message = f"Perhaps billed: {name} took it, and never told what became of it. Your account there tells."
    elif recovery is Recovery.LOOKUP:
        message = (
            f"Perhaps billed: the answer to its submit was lost, and the log of {name} did not show it. "
            "It was sent once only; your account there tells."
        )
    else:
        message = (
            f"Perhaps billed: the answer to its submit was lost, and {name} never told of it. {_once(name, recovery)}"
        )
    return Billing(Billed.PERHAPS, message)


def _cancelled(task: Task) -> Billing:
    name = task.provider
    if task.submitted_at is not None:
        tells = "What it costs is written down when it is told."
        if task.erased_at is not None:
            tells = "Your account there tells."
        return Billing(
            Billed.PERHAPS,
            f"Probably billed: {name} had taken it and goes on, as cancelling only ends our waiting. {tells}",
        )
    if task.unknown_since is not None or task.attempt_open_since is not None:
        return Billing(Billed.PERHAPS, f"Perhaps billed: it was sent, and no answer told whether {name} took it.")
    return Billing(Billed.NO, f"Not billed: it was cancelled before {name} took it.")


def _once(name: str, recovery: Recovery | None) -> str:
    """Say why a lost answer does not lead to two bills."""
    if recovery is Recovery.RESEND:
        return f"At most once: {name} takes an id only once, whatever is sent again."
    if recovery is Recovery.LOOKUP:
        return "At most once: it is never sent a second time."
    return "Your account there tells."


def _when_told(task: Task) -> str:
    if task.request.include_cost is False:
        return "what it costs is not told, as it was asked for without its cost"
    return "what it costs is known when it is told"


def _untold(task: Task) -> str:
    if task.request.include_cost is False:
        return "it was asked for without its cost, so the amount stands in your account there alone"
    return "no amount was told, so that stands in your account there alone"
