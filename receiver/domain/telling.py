"""Whether the user's application was told of a task, in words for whoever waits to hear."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from receiver.domain.delivery import Delivery, DeliveryStatus
from receiver.domain.endpoint import BY_HAND, WORST_FIRST, Endpoint, EndpointStatus
from receiver.domain.task import Task


def telling(
    task: Task,
    deliveries: Sequence[Delivery],
    endpoints: Mapping[UUID, Endpoint],
    *,
    told_before: bool = False,
    whole: bool = True,
) -> str:
    """Return in one sentence or two whether a task's notifications arrived; none of it a stranger's words.

    Of several endpoints the worst is told of. ``told_before``: the timeline says that one arrived once, whatever is
    kept of it; not ``whole``: there are older deliveries than these.
    """
    known = [each for each in deliveries if each.endpoint_id in endpoints]
    by = {status: [each for each in known if each.status is status] for status in DeliveryStatus}
    if dead := by[DeliveryStatus.DEAD]:
        return _given_up(dead, known, endpoints)
    if pending := by[DeliveryStatus.PENDING]:
        return _waiting(pending, known, endpoints)
    if known:
        return _arrived(task, len(known), whole=whole)
    return _nothing(task, endpoints, told_before=told_before)


def _given_up(dead: Sequence[Delivery], known: Sequence[Delivery], endpoints: Mapping[UUID, Endpoint]) -> str:
    count = len(dead)
    some = f"{count}" if count == len(known) else f"{count} of {len(known)}"
    again = "Send it again." if count == 1 else "Send them again."
    verdict = "No" if count == len(known) else "Not all"
    if any(endpoints[each.endpoint_id].status is EndpointStatus.STOPPED for each in dead):
        again = f"{_whose(known).capitalize()} is stopped: resume it, then {again.lower()}"
    return f"{verdict}: {some} {'was' if count == 1 else 'were'} given up. {again}"


def _waiting(pending: Sequence[Delivery], known: Sequence[Delivery], endpoints: Mapping[UUID, Endpoint]) -> str:
    some = f"{len(pending)}" if len(pending) == len(known) else f"{len(pending)} of {len(known)}"
    wait = f"{some} {'waits' if len(pending) == 1 else 'wait'}"
    worst = min((endpoints[each.endpoint_id] for each in pending), key=_needs_somebody)
    whose = _whose(known)
    if worst.status is EndpointStatus.STOPPED:
        return f"Not yet: {whose} is stopped, {wait}."
    if worst.status is EndpointStatus.PAUSED and worst.reason == BY_HAND:
        return f"Not yet: {whose} was paused by hand, {wait} until it is resumed."
    if worst.status is EndpointStatus.PAUSED:
        return f"Not yet: {whose} is paused as it kept failing, {wait}. It is tried now and then."
    if any(each.last_error for each in pending):
        return f"Not yet: {whose} could not be told so far, {wait} to be tried again."
    return f"Not yet: {some} {'is' if len(pending) == 1 else 'are'} on the way."


def _needs_somebody(endpoint: Endpoint) -> tuple[int, bool]:
    return WORST_FIRST.index(endpoint.status), endpoint.reason != BY_HAND


def _arrived(task: Task, count: int, *, whole: bool) -> str:
    yes = "Yes" if task.status.terminal else "Yes, so far"
    if not whole:
        return f"{yes}: of the latest {count} notifications all arrived."
    return f"{yes}: {count} of {count} notifications arrived."


def _nothing(task: Task, endpoints: Mapping[UUID, Endpoint], *, told_before: bool) -> str:
    if told_before:
        return "Yes, it was once: the steps say when. What was sent is not kept any more."
    if not endpoints:
        return "Nobody is to be told: no endpoint is named."
    standing = Counter(each.status for each in endpoints.values())
    if standing[EndpointStatus.STOPPED] == len(endpoints):
        return f"Nobody is told: {'its endpoint is' if len(endpoints) == 1 else 'all endpoints are'} stopped."
    if not task.status.terminal:
        return "Not yet: there is nothing to tell before something comes of it."
    return "No: no endpoint was to be told of it when it happened, or it is too long ago."


def _whose(known: Sequence[Delivery]) -> str:
    return "its endpoint" if len({each.endpoint_id for each in known}) == 1 else "an endpoint"
