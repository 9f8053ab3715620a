"""The statements of notifications, whose plans are looked at with all others; and rows for them on PostgreSQL."""

from uuid import uuid4

from sqlalchemy import ClauseElement

from receiver.domain.delivery import DeliveryStatus
from receiver.lifecycle.ports import DeliveryFilter
from receiver.storage import deliveries, outbox_rows, withheld
from receiver.storage.outbox_tables import endpoints
from tests.storage.making import NOW

ONE = uuid4()
OUTBOX: dict[str, ClauseElement] = {
    "claim deliveries": deliveries.CLAIM,
    "who is told": outbox_rows.RECIPIENTS,
    "endpoints with work": deliveries.PROVEN_ENDPOINTS,
    "new endpoints with work": deliveries.NEW_ENDPOINTS,
    "failing endpoints with work": deliveries.FAILING_ENDPOINTS,
    "next delivery": deliveries.NEXT_DELIVERY,
    "what falls due behind others": outbox_rows.unblocking(outbox_rows.CHANGED_ID == ONE),
    "expired deliveries": deliveries.expired(NOW, 5),
    "deliveries to stopped endpoints": deliveries.of_stopped(5),
    "deliveries to forget": deliveries.ended(NOW, DeliveryStatus.SENT, 5),
    "removed endpoints": deliveries.REMOVED,
    "deliveries of an endpoint": deliveries.OF_ENDPOINT,
    "what there is of an endpoint": deliveries.BACKLOG.where(endpoints.c.id == ONE),
    "what was given up anywhere": deliveries.DEAD,
    "the oldest on its way anywhere": deliveries.OLDEST,
    **{
        f"deliveries by {name}": deliveries.listing(wanted, wanted.status)
        for name, wanted in (
            ("nothing", DeliveryFilter()),
            ("cursor", DeliveryFilter(before_id=ONE)),
            ("time", DeliveryFilter(created_after=NOW, created_before=NOW)),
            ("status", DeliveryFilter(status=DeliveryStatus.DEAD, before_id=ONE)),
            ("endpoint and status", DeliveryFilter(endpoint_id=ONE, status=DeliveryStatus.DEAD)),
            ("task", DeliveryFilter(task_id=ONE)),
        )
    },
    **{
        f"redrive by {name}": deliveries.redriven(wanted, DeliveryStatus.DEAD)
        for name, wanted in (
            ("id", DeliveryFilter(delivery_id=ONE)),
            ("endpoint", DeliveryFilter(endpoint_id=ONE)),
            ("time and error", DeliveryFilter(created_after=NOW, error="timeout", after_id=ONE)),
        )
    },
    **{
        f"withheld by {name}": withheld.waiting(wanted, DeliveryStatus.DEAD)
        for name, wanted in (
            ("id", DeliveryFilter(delivery_id=ONE)),
            ("endpoint", DeliveryFilter(endpoint_id=ONE)),
            ("time and error", DeliveryFilter(created_after=NOW, error="timeout")),
        )
    },
}
#: Endpoints are as many as a user has written down.
OUTBOX_WALKS = {
    "who is told": "SCAN endpoints",
    "endpoints with work": "SCAN endpoints",
    "new endpoints with work": "SCAN endpoints",
    "failing endpoints with work": "SCAN endpoints",
    "next delivery": "SCAN endpoints",
    "deliveries to stopped endpoints": "SCAN endpoints",
    "removed endpoints": "SCAN endpoints",
    **dict.fromkeys(("withheld by id", "withheld by endpoint", "withheld by time and error"), "SCAN endpoints"),
    "deliveries by nothing": "SCAN deliveries",
    # No more than are counted: what the index has found.
    "what there is of an endpoint": "SCAN some",
    "what was given up anywhere": "SCAN some",
}
#: The few of one task.
OUTBOX_SORTED = {"deliveries by task", "endpoints with work", "failing endpoints with work"}
#: Three endpoints; of each task one delivery, most of them sent, some on their way, a few dead.
OUTBOX_ROWS = (
    """
    INSERT INTO endpoints (id, url, created_at, status, failures, proven)
    SELECT lpad(to_hex(n), 32, '0')::uuid, n::text, :now, 'active', 0, true FROM generate_series(1, 3) AS n
    """,
    """
    INSERT INTO deliveries (id, task_key, seq, endpoint_id, type, at, status, lane, attempts, tries, due_at, claims)
    SELECT id, key, 1, lpad(to_hex(1 + polls + callbacks - 2 + abs(hashtext(id::text)) % 3), 32, '0')::uuid,
        'task.succeeded', created_at, CASE WHEN work IS NOT NULL THEN 'pending'
        WHEN overdue THEN 'dead' ELSE 'sent' END,
        abs(hashtext(id::text)) % 2, 0, 0, due_at, 0 FROM tasks
    """,
)
