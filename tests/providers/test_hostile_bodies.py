"""No body takes more time than its length: a pattern that backtracks stops the whole process, tasks and all.

Every bound is twenty times and more what the work takes, lest a busy machine fails it; what grows with the square of
the length goes far beyond it.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from receiver.domain.errors import ErrorCode, UnreadableError
from receiver.domain.report import Via
from receiver.providers import PROVIDERS
from receiver.providers.runware.words import RULES, complaint
from receiver.providers.wire.failures import judge
from receiver.providers.wire.links import expiry, host_patterns, link, trusted
from receiver.providers.wire.strict_json import MOST_CHARACTERS
from receiver.providers.wire.values import money_in_header, retry_after, sentence, spaced, word
from tests.providers.cases import RUNWARE_TASK, answer, checked_task, provider

NAMES = sorted(PROVIDERS)
MOST_SECONDS = 8.0
SIZE = 256 * 1024

REPEATED = [
    *("a.", "a", "aB", "conflict ", "task uuid ", "conflict task uuid ", "already task uui ", "provider auth "),
    *("://", "a://", "a://b@", "@", "/", " ", "\n", "0", "9.", "%", "%2F", "-", "_", ".", "=", "&Expires=1"),
    *("'", '"', "\\", "<", "[", "{", ",", "🎵", "\u202e", "İ"),
]


@contextlib.contextmanager
def quick() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < MOST_SECONDS


def filled(unit: str, characters: int) -> str:
    return (unit * (characters // len(unit) + 1))[:characters]


def in_members(unit: str) -> list[object]:
    """Bodies that hold a text everywhere that words are read, four times as long as a string may be and short."""
    said, short = filled(unit, MOST_CHARACTERS - 1), filled(unit, 6000)
    errors: list[object] = [
        dict.fromkeys(("code", "message", "parameter", "responseContent"), said),
        {"error": dict.fromkeys(("code", "name", "message", "parameter"), said), "taskUUID": str(RUNWARE_TASK)},
    ]
    items: list[object] = [
        {"status": said, "taskUUID": said, "audioURL": "https://x.runware.ai/?" + short, "audioUUID": said},
        {"status": "success", "cost": said, "seed": said, "audioURL": said, "audioBase64Data": said},
        {said: said, short: short},
    ]
    details = [{"type": said, "msg": said, "loc": [said, 1]}]
    return [
        {"errors": errors, "data": items[:1]},
        {"errors": [{"code": short, "message": short} for _ in range(20)], "data": items[1:]},
        {"id": short, "status": "error", "error": {"name": said, "detail": details}},
        {"id": "x", "status": "completed", "audio_file": {"url": said}, "meta": {"usage": {"usd_spent": said}}},
        {"statusCode": said, "title": said, "message": said, "error": said},
        {"data": [{"client_request_id": said, "inference_id": said, "status": said}]},
    ]


def many(unit: object) -> bytes:
    text = json.dumps(unit) + ","
    return b'{"errors":[' + (text * min(SIZE // len(text), 10_000))[:-1].encode() + b"]}"


RAW: dict[str, bytes] = {
    "brackets": b"[" * SIZE,
    "brackets below the bound": b"[" * 99_000,
    "deep errors": b'{"errors":' * 25_000,
    "closed": b"[" * 45_000 + b"]" * 45_000,
    "braces": b"{" * SIZE,
    "commas": b"[" + b"0," * (SIZE // 2),
    "spaces": b" " * SIZE,
    "spaces within": b'{"errors":' + b" " * SIZE + b"[]}",
    "quotes": b'"' * SIZE,
    "backslashes": b'"' + b"\\" * SIZE + b'"',
    "escapes": b'{"message":"' + b"\\u0041" * (SIZE // 6) + b'"}',
    "surrogates": b'{"message":"' + b"\\ud83c\\udfb5" * 5000 + b'"}',
    "an open string": b'{"message":"' + b"a." * (SIZE // 2),
    "a long integer": b'{"errorId":' + b"9" * SIZE + b"}",
    "a long fraction": b'{"cost":0.' + b"9" * SIZE + b"}",
    "a long exponent": b'{"cost":1e' + b"9" * SIZE + b"}",
    "a large exponent": b'{"status":"success","seed":1e999999999,"cost":1e-999999999}',
    "zero at a distance": b'{"status":"success","seed":0e999999999,"audioURL":"https://x.runware.ai/","cost":0e9999999}',
    "a minus": b'{"cost":' + b"-" * SIZE + b"}",
    "a long key": b'{"' + b"k" * SIZE + b'":1}',
    "many keys": ("{" + ",".join(f'"{n}":1' for n in range(12_000)) + "}").encode(),
    "many numbers": b'{"data":[' + b"1," * 20_000 + b"1]}",
    "many errors": many({"code": "x", "message": "a."}),
    "many empty objects": many({}),
    "many strings": many("a."),
    "many envelopes": ("[" + ",".join(['{"errors":[{}]}'] * 5_000) + "]").encode(),
    "many tasks": many({"taskUUID": str(RUNWARE_TASK), "code": "conflictTaskUUID"}),
    "many steps": b'{"id":"x","status":"error","error":{"detail":[{"loc":[' + b"1," * 20_000 + b'1],"msg":"m"}]}}',
    "many rows": b'{"data":[' + b'{"client_request_id":"a","inference_id":"b"},' * 5000 + b"{}]}",
    "inline audio": b'{"data":[{"status":"success","audioBase64Data":"' + b"QUJD" * (SIZE // 4) + b'"}]}',
    "inline audio that is none": b'{"data":[{"status":"success","audioDataURI":"data:' + b"=" * SIZE + b'"}]}',
    "bytes": b"\xff" * SIZE,
    "nul": b"\0" * SIZE,
}


def read_every_way(name: str, body: bytes) -> None:
    """Hand a body to everything that reads one; whatever is said of it, it must be said soon."""
    adapter = provider(name)
    task = checked_task(name)
    for via in Via:
        with contextlib.suppress(UnreadableError):
            adapter.read(body, via)
    for status in (200, 400):
        adapter.read_submit(task, answer(status, body))
        adapter.read_poll([task], answer(status, body))
        adapter.read_search(answer(status, body))


@pytest.mark.parametrize("unit", REPEATED, ids=ascii)
@pytest.mark.parametrize("name", NAMES)
def test_no_repeated_words_take_more_time_than_their_length(name: str, unit: str) -> None:
    for value in in_members(unit):
        body = json.dumps(value, ensure_ascii=False).encode()
        with quick():
            read_every_way(name, body)


@pytest.mark.parametrize("body", RAW.values(), ids=RAW.keys())
@pytest.mark.parametrize("name", NAMES)
def test_no_shape_of_a_body_takes_more_time_than_its_length(name: str, body: bytes) -> None:
    with quick():
        read_every_way(name, body)


def test_many_errors_are_counted_before_their_words_are_read() -> None:
    """Each costs little, and 96 MiB hold thirty thousand of them: together they would take many seconds."""
    one = {"code": filled("conflict ", 2000), "message": filled("a.", 2000), "responseContent": filled("\x7f ", 1000)}
    body = json.dumps({"errors": [one] * 4_000}).encode()
    with quick(), pytest.raises(UnreadableError, match="more than 1,024 items and errors"):
        provider("runware").read(body, Via.POLL)
    body = json.dumps([{"errors": [one] * 20}] * 60).encode()
    with pytest.raises(UnreadableError, match="more than 1,024 items and errors"):
        provider("runware").read(body, Via.POLL)


def _trusted(text: str) -> object:
    return trusted("https://" + text, ("*.runware.ai",), "https://api.runware.ai")


def _host_patterns(text: str) -> object:
    with contextlib.suppress(ValueError):
        return host_patterns("media_hosts", text[:8192])
    return None


READERS: tuple[Callable[[str], object], ...] = (
    *(word, sentence, spaced, link, _trusted, _host_patterns),
    lambda text: judge(text, RULES),
    lambda text: complaint({"code": text, "message": text}),
    lambda text: expiry("https://x.example/?" + text[:8000]),
    lambda text: retry_after({"retry-after": text, "date": text}),
    lambda text: money_in_header({"x": text}, "x"),
)


@pytest.mark.parametrize("unit", REPEATED, ids=ascii)
def test_no_single_reader_takes_more_time_than_the_length_of_its_text(unit: str) -> None:
    for read in READERS:
        for text in (filled(unit, SIZE) + "!", "conflict " + filled(unit, SIZE) + " task uui"):
            with quick():
                read(text)


# ------------------------------------------------------------------ what a review of security found
def test_messages_of_dots_are_read_at_once() -> None:
    body = json.dumps({"errors": [{"code": "x", "message": "a." * 8000}] * 3}).encode()
    with quick():
        read_every_way("runware", body)


def test_a_sentence_of_dots_is_cut_at_once() -> None:
    with quick():
        assert sentence("a." * 32_500) == ("a." * 250)[:499] + "…"


def test_a_code_that_says_conflict_many_times_is_judged_at_once() -> None:
    body = json.dumps({"errors": [{"code": "conflict " * 6000}] * 3}).encode()
    with quick():
        read_every_way("runware", body)
    with quick():
        found = complaint({"code": "conflict " * 6000})
    assert (found.taken, found.error.code) == (False, ErrorCode.VALIDATION)


@pytest.mark.parametrize(
    "code", ["conflictTaskUUID", "taskUUIDAlreadyExists", "duplicate_task_uuid", "taskUUID.conflict"]
)
def test_a_taken_uuid_is_known_in_either_order_of_words(code: str) -> None:
    assert complaint({"code": code}).taken


@pytest.mark.parametrize("code", ["conflict", "taskUUID", "invalidTaskUUID", "conflictTaskUUIDs"])
def test_half_of_the_words_do_not_tell_that_a_uuid_is_taken(code: str) -> None:
    assert not complaint({"code": code}).taken


def test_only_the_beginning_of_a_code_is_judged() -> None:
    assert complaint({"code": "x " * 90 + "nsfw"}).error.code is ErrorCode.MODERATION
    assert complaint({"code": "x " * 100 + "nsfw"}).error.code is ErrorCode.UNKNOWN


@pytest.mark.parametrize(
    ("expires", "at"),
    [
        ("1777019942", datetime(2026, 4, 24, 8, 39, 2, tzinfo=UTC)),
        ("9999999999", datetime(2286, 11, 20, 17, 46, 39, tzinfo=UTC)),
        ("10000000000", None),
        ("253402300800", None),
        ("9" * 30, None),
        ("9" * 5000, None),
        ("-1777019942", None),
        ("-9", None),
        ("1e300", None),
    ],
)
def test_an_absurd_end_of_a_link_is_no_end_and_no_error(expires: str, at: datetime | None) -> None:
    url = f"https://cdn.aimlapi.com/a.mp3?Expires={expires}"
    body = json.dumps({"id": "x", "status": "completed", "audio_file": {"url": url}}).encode()
    [output] = provider("aimlapi").read(body, Via.POLL).outputs
    assert (output.link, output.link_expires_at) == (url, at)
