from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from receiver.domain.delivery import Delivery, DeliveryStatus, Outcome
from receiver.domain.endpoint import BY_HAND, Endpoint, EndpointStatus
from receiver.domain.event import EventType
from receiver.domain.task import Status, Task
from receiver.domain.telling import telling
from tests.domain.making import queued

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUEUED = queued(NOW)
DONE = replace(QUEUED, status=Status.SUCCEEDED, completed_at=NOW, work=None)
WELL = Endpoint(UUID(int=3), "https://app.example.org/", NOW)
OTHER = replace(WELL, id=UUID(int=4))
PAUSED = replace(WELL, status=EndpointStatus.PAUSED, reason="status")
HELD = replace(WELL, status=EndpointStatus.PAUSED, reason=BY_HAND)
STOPPED = replace(WELL, status=EndpointStatus.STOPPED, reason="gone")


def to(endpoint: Endpoint, status: DeliveryStatus, error: str | None = None) -> Delivery:
    outcomes = (Outcome(NOW, error, None, 0.1),) if error else ()
    return Delivery(
        uuid4(), DONE.key, DONE.id, 1, endpoint.id, EventType.TASK_SUCCEEDED, NOW, status=status, outcomes=outcomes
    )


SENT, DEAD, WAITS = (
    to(WELL, status) for status in (DeliveryStatus.SENT, DeliveryStatus.DEAD, DeliveryStatus.PENDING)
)
FAILED = to(WELL, DeliveryStatus.PENDING, "timeout")
WAITS_THERE, SENT_THERE = to(OTHER, DeliveryStatus.PENDING), to(OTHER, DeliveryStatus.SENT)


@pytest.mark.parametrize(
    ("task", "deliveries", "endpoints", "says"),
    [
        (QUEUED, [], [], "Nobody is to be told: no endpoint is named."),
        (QUEUED, [], [WELL], "Not yet: there is nothing to tell before something comes of it."),
        (QUEUED, [], [STOPPED], "Nobody is told: its endpoint is stopped."),
        (DONE, [], [STOPPED, replace(STOPPED, id=OTHER.id)], "Nobody is told: all endpoints are stopped."),
        (DONE, [], [WELL], "No: no endpoint was to be told of it when it happened, or it is too long ago."),
        (QUEUED, [SENT], [WELL], "Yes, so far: 1 of 1 notifications arrived."),
        (DONE, [SENT, SENT_THERE], [WELL, OTHER], "Yes: 2 of 2 notifications arrived."),
        (DONE, [WAITS], [WELL], "Not yet: 1 is on the way."),
        (DONE, [WAITS, SENT], [WELL], "Not yet: 1 of 2 is on the way."),
        (DONE, [FAILED, WAITS], [WELL], "Not yet: its endpoint could not be told so far, 2 wait to be tried again."),
        (
            DONE,
            [WAITS, WAITS],
            [PAUSED],
            "Not yet: its endpoint is paused as it kept failing, 2 wait. It is tried now and then.",
        ),
        (DONE, [FAILED], [HELD], "Not yet: its endpoint was paused by hand, 1 waits until it is resumed."),
        (DONE, [WAITS], [STOPPED], "Not yet: its endpoint is stopped, 1 waits."),
        (DONE, [DEAD], [WELL], "No: 1 was given up. Send it again."),
        (DONE, [DEAD, DEAD], [WELL], "No: 2 were given up. Send them again."),
        (DONE, [DEAD, SENT, SENT], [WELL], "Not all: 1 of 3 was given up. Send it again."),
        (DONE, [DEAD], [STOPPED], "No: 1 was given up. Its endpoint is stopped: resume it, then send it again."),
        # Of several endpoints, the worst.
        (DONE, [SENT, WAITS_THERE], [PAUSED, OTHER], "Not yet: 1 of 2 is on the way."),
        (DONE, [WAITS, WAITS_THERE], [HELD, OTHER], "Not yet: an endpoint was paused by hand, 2 wait until it"),
        (
            DONE,
            [WAITS, WAITS_THERE],
            [HELD, replace(STOPPED, id=OTHER.id)],
            "Not yet: an endpoint is stopped, 2 wait.",
        ),
        (DONE, [DEAD, WAITS_THERE], [WELL, replace(HELD, id=OTHER.id)], "Not all: 1 of 2 was given up."),
        # What went to one that is named no more is nobody's business.
        (DONE, [DEAD, SENT_THERE], [OTHER], "Yes: 1 of 1 notifications arrived."),
        (DONE, [DEAD], [], "Nobody is to be told: no endpoint is named."),
    ],
)
def test_each_state_has_its_answer(
    task: Task, deliveries: Sequence[Delivery], endpoints: Sequence[Endpoint], says: str
) -> None:
    told = telling(task, deliveries, {each.id: each for each in endpoints})
    assert told.startswith(says)
    assert told.endswith(".")


def test_what_arrived_and_is_not_kept_any_more_is_not_denied() -> None:
    assert telling(DONE, [], {}, told_before=True).startswith("Yes, it was once: the steps say when.")


def test_of_very_many_it_is_said_that_only_the_latest_were_looked_at() -> None:
    told = telling(DONE, [SENT, SENT], {WELL.id: WELL}, whole=False)
    assert told == "Yes: of the latest 2 notifications all arrived."
