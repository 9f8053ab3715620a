"""How an endpoint stands after its answers: rest, pause, probe, success, stop; and when a delivery comes again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from receiver.domain.delivery import SCHEDULE, Delivery, DeliveryError, DeliveryStatus, Told, concluded, retry_after
from receiver.domain.endpoint import BY_HAND, Endpoint, EndpointStatus, failed, paused, resumed, succeeded
from receiver.domain.event import EventType

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BAD, GOOD = Told(DeliveryError.STATUS, 500), Told(None, 200)
ONE = Endpoint(UUID(int=1), "https://app.example/", NOON, proven=True)
NEWS = Delivery(UUID(int=2), UUID(int=3), UUID(int=4), 5, ONE.id, EventType.TASK_SUCCEEDED, NOON, due_at=NOON)


def after_failures(count: int, *, every: timedelta, told: Told = BAD) -> Endpoint:
    endpoint = ONE
    for number in range(count):
        endpoint = failed(endpoint, told, NOON + number * every)
    return endpoint


def test_an_endpoint_that_fails_rests_ever_longer_and_a_success_ends_it() -> None:
    endpoint, rests = ONE, []
    for count in range(1, 7):
        endpoint = after_failures(count, every=SECOND)
        assert endpoint.rests_until is not None
        rests.append((endpoint.rests_until - NOON - (count - 1) * SECOND) / SECOND)
    assert rests == [0.5, 1, 2, 4, 5, 5]
    assert succeeded(endpoint) == ONE


def test_it_is_paused_after_ten_failures_in_a_row_that_took_a_minute_and_not_by_a_restart() -> None:
    assert after_failures(50, every=SECOND).status is EndpointStatus.ACTIVE
    assert after_failures(9, every=20 * SECOND).status is EndpointStatus.ACTIVE
    endpoint = after_failures(10, every=20 * SECOND)
    assert (endpoint.status, endpoint.reason) == (EndpointStatus.PAUSED, "status")
    assert endpoint.since == NOON + 9 * 20 * SECOND


def test_a_paused_one_is_probed_after_a_minute_then_more_rarely_and_what_answers_resumes_it() -> None:
    endpoint = after_failures(10, every=20 * SECOND)
    began, now, gaps = endpoint.since, NOON + 180 * SECOND, []
    for _ in range(6):
        assert endpoint.rests_until is not None
        gaps.append((endpoint.rests_until - now) / SECOND)
        now = endpoint.rests_until
        endpoint = failed(endpoint, BAD, now)
    assert gaps == [60, 120, 240, 480, 900, 900]
    assert (endpoint.status, endpoint.since) == (EndpointStatus.PAUSED, began)
    assert succeeded(endpoint) == ONE


def test_what_a_person_paused_only_a_person_resumes() -> None:
    by_hand = paused(ONE, NOON)
    assert succeeded(by_hand).status is EndpointStatus.PAUSED
    assert failed(by_hand, BAD, NOON).reason == BY_HAND
    assert resumed(by_hand) == ONE
    assert replace(resumed(after_failures(10, every=20 * SECOND)), proven=True) == ONE


def test_who_says_gone_is_stopped_and_who_asks_for_time_is_given_it() -> None:
    assert failed(ONE, Told(DeliveryError.GONE, 410), NOON).status is EndpointStatus.STOPPED
    asked = failed(ONE, Told(DeliveryError.STATUS, 429, retry_after=90 * SECOND), NOON)
    assert asked.rests_until == NOON + 90 * SECOND


@pytest.mark.parametrize(("jitter", "by"), [(0.0, 0.9), (0.5, 1.0)])
def test_a_delivery_comes_again_by_the_schedule_and_then_is_dead(jitter: float, by: float) -> None:
    delivery, now = NEWS, NOON
    for gap in SCHEDULE:
        delivery, event = concluded(delivery, BAD, now, jitter=jitter)
        assert (delivery.status, event.type) == (DeliveryStatus.PENDING, EventType.DELIVERY_FAILED)
        assert delivery.due_at == now + gap * by
        now = delivery.due_at
    delivery, event = concluded(delivery, BAD, now, jitter=jitter)
    assert (delivery.status, event.type) == (DeliveryStatus.DEAD, EventType.DELIVERY_DEAD)
    assert (delivery.attempts, delivery.due_at, delivery.ended_at) == (len(SCHEDULE) + 1, None, now)


def test_a_retry_after_takes_the_place_of_a_gap_and_uses_no_try_up() -> None:
    asked = Told(DeliveryError.STATUS, 503, retry_after=7 * SECOND)
    delivery, _ = concluded(NEWS, asked, NOON, jitter=0.5)
    assert (delivery.attempts, delivery.tries, delivery.due_at) == (1, 0, NOON + 7 * SECOND)
    assert concluded(delivery, GOOD, NOON, jitter=0.5)[0].status is DeliveryStatus.SENT


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("120", None, 120),
        ("0", None, 1),
        ("999999999999", None, 3600),
        ("Sun, 01 Mar 2026 12:00:30 GMT", "Sun, 01 Mar 2026 12:00:00 GMT", 30),
        ("Sun, 01 Mar 2026 12:00:30 GMT", None, None),
        ("soon", None, None),
        ("-5", None, None),
        (None, None, None),
    ],
)
def test_what_a_retry_after_asks_for_is_kept_within_bounds(
    text: str | None, date: str | None, seconds: int | None
) -> None:
    assert retry_after(text, date) == (None if seconds is None else seconds * SECOND)
