"""Why a delivery that was to be sent again is not, in the words of what a person can do about it."""

from receiver.domain.delivery import Delivery, DeliveryError, DeliveryStatus
from receiver.domain.endpoint import NOT_CONFIGURED, Endpoint, EndpointStatus
from receiver.lifecycle.ports import MOST_COUNTED, DeliveryFilter, Ports

_REASONS = {DeliveryError.GONE.value: " (410)", NOT_CONFIGURED: " (RECEIVER_NOTIFY_URL names it no more)"}
#: So many endpoints are named; the others are listed elsewhere.
_NAMED = 5


async def why_not(ports: Ports, wanted: DeliveryFilter) -> tuple[int, str | None]:
    """Return how many fit and stay as they are, and why; of one delivery, why it is not sent. None: nothing is amiss.

    Raises UnavailableError.
    """
    withheld = await ports.store.outbox.withheld(wanted)
    found = [await ports.store.outbox.endpoint(endpoint_id) for endpoint_id in sorted(withheld)[:_NAMED]]
    stopped = [each for each in found if each is not None and each.status is EndpointStatus.STOPPED]
    if wanted.delivery_id is not None:
        return len(stopped), await _of_one(ports, await ports.store.outbox.delivery(wanted.delivery_id))
    if not stopped:
        return 0, None
    count = sum(withheld.values())
    status = DeliveryStatus.DEAD if wanted.status is None else wanted.status
    many = f"{count} or more" if count >= MOST_COUNTED else str(count)
    those = f"{many} {status.value} one{' fits' if count == 1 else 's fit'}, but"
    if len(withheld) == 1:
        return count, f"{those} {'its' if count == 1 else 'their'} {_stopped(stopped[0])}"
    each = "`, `".join(f"receiver endpoints resume {one.id}" for one in stopped)
    return count, f"{those} their {len(withheld)} endpoints are stopped: resume them first, `{each}`"


async def _of_one(ports: Ports, delivery: Delivery | None) -> str:
    endpoint = None if delivery is None else await ports.store.outbox.endpoint(delivery.endpoint_id)
    if delivery is None:
        return "no delivery has this id"
    if endpoint is None:
        return "its endpoint is removed"
    if delivery.status is not DeliveryStatus.PENDING:
        ended = "dead" if delivery.status is DeliveryStatus.DEAD else "sent"
        return f"it is {ended}, but its {_stopped(endpoint)}"
    if endpoint.status is EndpointStatus.ACTIVE:
        return "it is on its way already"
    return f"it waits for its endpoint, which is {endpoint.status.value}: `receiver endpoints resume {endpoint.id}`"


def _stopped(endpoint: Endpoint) -> str:
    reason = _REASONS.get(endpoint.reason or "", "")
    return f"endpoint is stopped{reason}: resume it first, `receiver endpoints resume {endpoint.id}`"
