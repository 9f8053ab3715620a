import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from receiver.domain.looking import Found
from receiver.domain.schedule import next_look
from receiver.domain.task import Recovery
from receiver.lifecycle.ports.provider import LogPage, Unanswered
from tests.providers.cases import (
    CALLBACK_URL,
    GENERATION,
    INLINE,
    LYRICS,
    PROMPT,
    REFERENCE,
    RUNWARE_TASK,
    answer,
    checked_task,
    provider,
)


def test_a_plain_submit_says_exactly_this() -> None:
    call = provider("aimlapi").submit(checked_task("aimlapi"), reference=REFERENCE, callback_url=CALLBACK_URL)
    assert (call.method, call.url) == ("POST", "https://api.aimlapi.com/v2/generate/audio")
    assert call.headers["X-Client-Request-Id"] == str(RUNWARE_TASK)
    assert json.loads(call.body or b"") == {
        "model": "minimax/music-cover",
        "prompt": PROMPT,
        "reference_audio_url": REFERENCE,
        "audio_setting": {"sample_rate": 44100, "bitrate": 256000, "format": "mp3"},
    }


def test_a_full_submit_adds_everything_that_was_asked_for() -> None:
    asked = checked_task(
        "aimlapi",
        lyrics=LYRICS,
        output_format="PCM",
        sample_rate=16000,
        provider_options={"audio_setting": {"channels": 1}, "extra": True},
    )
    call = provider("aimlapi").submit(asked, reference=REFERENCE, callback_url=None)
    body = json.loads(call.body or b"")
    assert body["lyrics"] == LYRICS
    assert body["audio_setting"] == {"sample_rate": 16000, "format": "pcm", "channels": 1}
    assert body["extra"] is True


def test_inline_audio_goes_where_the_link_would_and_has_more_time() -> None:
    adapter = provider("aimlapi")
    linked = adapter.submit(checked_task("aimlapi"), reference=REFERENCE, callback_url=None)
    inline = adapter.submit(
        checked_task("aimlapi", reference_audio=INLINE), reference="SUQzBAAAAAAA", callback_url=None
    )
    assert json.loads(inline.body or b"")["reference_audio_url"] == "SUQzBAAAAAAA"
    assert inline.timeout_seconds > linked.timeout_seconds


@pytest.mark.parametrize("generation", [GENERATION, "-_weird", "0b1f:vendor/music 1&x=%2F"])
def test_one_generation_is_asked_about_with_its_id_encoded(generation: str) -> None:
    adapter = provider("aimlapi", url="http://127.0.0.1:9090/aimlapi/")
    call = adapter.poll([replace(checked_task("aimlapi"), provider_task_id=generation)])
    assert (call.method, call.body) == ("GET", None)
    parts = urlsplit(call.url)
    assert parts.path == "/aimlapi/v2/generate/audio"
    assert parse_qs(parts.query) == {"generation_id": [generation]}
    assert adapter.most_polled_at_once == 1
    assert not adapter.batchable(checked_task("aimlapi"))


def test_a_task_without_a_generation_cannot_be_asked_about() -> None:
    with pytest.raises(ValueError, match="generation"):
        provider("aimlapi").poll([checked_task("aimlapi")])


def test_it_is_looked_at_in_the_documented_rhythm() -> None:
    plan = provider("aimlapi").plan(checked_task("aimlapi").request, pushed=False)
    start = checked_task("aimlapi").created_at
    assert {next_look(plan, looks=looks, now=start, overdue=False) - start for looks in range(60)} == {
        timedelta(seconds=15)
    }


def test_its_own_media_host_is_trusted() -> None:
    adapter = provider("aimlapi")
    assert adapter.trusts("https://cdn.aimlapi.com/moose/music%2Fprod%2Fx.mp3?Expires=1")
    assert not adapter.trusts("https://api.aimlapi.com.example/x.mp3")


def test_a_second_submit_would_be_billed_so_the_log_is_searched_at_set_times() -> None:
    adapter = provider("aimlapi")
    assert adapter.recovery is Recovery.LOOKUP
    assert [wait.total_seconds() for wait in adapter.lookups] == [15, 60, 300, 1800, 3600]
    assert not adapter.pushes
    assert adapter.provider_task_id(RUNWARE_TASK) is None
    for wrong in ("60,15", "15,15", "15,,60", "0"):
        with pytest.raises(ValueError, match="lookup_seconds"):
            provider("aimlapi", lookup_seconds=wrong)


def test_the_log_is_searched_between_two_moments_page_by_page() -> None:
    since = datetime(2026, 11, 21, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    call = provider("aimlapi").search(since, datetime(2026, 11, 21, 11, 30, 0, 250000, tzinfo=UTC), 200)
    assert call.method == "GET"
    parts = urlsplit(call.url)
    assert parts.path == "/v2/logs"
    assert parse_qs(parts.query) == {
        "start": ["2026-11-21T10:00:00.000Z"],
        "end": ["2026-11-21T11:30:00.250Z"],
        "limit": ["100"],
        "offset": ["200"],
    }


def test_no_more_of_the_log_is_asked_for_than_it_gives_at_once() -> None:
    """A wider window is refused whole, and with it what was lost today."""
    until = datetime(2026, 11, 21, tzinfo=UTC)
    call = provider("aimlapi").search(until - timedelta(days=200), until, 0)
    assert "start=2026-08-21T00%3A00%3A00.000Z&end=2026-11-21T00%3A00%3A00.000Z" in call.url


def row(ours: str | None, theirs: str | None, status: str = "succeeded") -> dict[str, object]:
    return {
        "created": "2026-11-21T10:00:00Z",
        "status": status,
        "origin": "api",
        "model": "minimax/music-cover",
        "cost": {"usd": 0.15, "credits": 300000},
        "request_id": None,
        "inference_id": theirs,
        "client_request_id": ours,
    }


def test_rows_of_the_log_are_matched_by_our_own_id() -> None:
    rows = [
        row("one", "generation-1"),
        row("two", "generation-2", "failed"),
        row("twice", "generation-3", "failed"),
        row("twice", "generation-4"),
        row("twice", "generation-5", "failed"),
        row(None, "generation-6"),
        row("lacks-a-generation", None),
    ]
    body = {"data": [*rows, "odd"], "pagination": {"limit": 100, "offset": 0, "total": 8, "has_more": False}}
    assert provider("aimlapi").read_search(answer(200, body)) == LogPage(
        8,
        {
            "one": Found("generation-1"),
            "two": Found("generation-2", failed=True),
            "twice": Found("generation-4"),
        },
        has_more=False,
    )


@pytest.mark.parametrize(
    ("rows", "pagination", "more"),
    [(1, {"has_more": True}, True), (0, {}, False), (100, {}, True), (99, None, False)],
)
def test_older_rows_follow_when_the_log_says_so_or_the_page_is_full(
    rows: int, pagination: object, more: bool
) -> None:
    page = provider("aimlapi").read_search(answer(200, {"data": [row(None, "g")] * rows, "pagination": pagination}))
    assert isinstance(page, LogPage)
    assert (page.rows, page.has_more) == (rows, more)


@pytest.mark.parametrize(
    ("status", "body", "pauses"),
    [
        (401, {"message": "m", "statusCode": "401"}, True),
        (429, {}, False),
        (403, {"message": "this key may not read logs"}, False),
        (403, {"message": "You have run out of credits", "statusCode": "403"}, True),
        (400, {"message": "window too long", "statusCode": "400"}, False),
        (500, {}, False),
        (200, {"message": "m", "statusCode": "429"}, False),
        (200, b"<html>", False),
        (200, {"data": None}, False),
    ],
)
def test_a_log_that_cannot_be_read_tells_nothing(status: int, body: object, pauses: bool) -> None:
    page = provider("aimlapi").read_search(answer(status, body))
    assert isinstance(page, Unanswered)
    assert page.pauses is pauses
