"""What would be sent again, were its endpoint not stopped."""

from collections import Counter
from uuid import UUID

from sqlalchemy import Connection, Select, select

from receiver.domain.delivery import DeliveryStatus
from receiver.domain.endpoint import EndpointStatus
from receiver.lifecycle.ports import MOST_COUNTED, DeliveryFilter
from receiver.storage.deliveries import fits
from receiver.storage.outbox_tables import deliveries, endpoints

_STOPPED = select(endpoints.columns.id).where(
    endpoints.columns.status == EndpointStatus.STOPPED.value, endpoints.columns.removed_at.is_(None)
)


def waiting(wanted: DeliveryFilter, status: DeliveryStatus) -> Select[UUID]:
    """Return the statement that finds the stopped endpoint of each that fits, up to a bound."""
    return (
        select(deliveries.columns.endpoint_id)
        .where(deliveries.columns.endpoint_id.in_(_STOPPED), *fits(wanted, status))
        .order_by(deliveries.columns.id)
        .limit(MOST_COUNTED)
    )


def withheld(connection: Connection, wanted: DeliveryFilter) -> dict[UUID, int]:
    """Count what has ended and fits, of each stopped endpoint that has any."""
    statuses = [wanted.status] if wanted.status is not None else [DeliveryStatus.SENT, DeliveryStatus.DEAD]
    return Counter(each for status in statuses for each in connection.scalars(waiting(wanted, status)))
