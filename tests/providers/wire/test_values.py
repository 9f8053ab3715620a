from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from receiver.domain.errors import UnreadableError
from receiver.providers.wire.links import expiry, identity_of, problem_with
from receiver.providers.wire.values import money, money_in_header, retry_after, sentence, spaced, word


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("archived", "archived"),
        ("tidy\x1b[31m\u202eup\n", "tidy [31m up"),
        ("a b" * 100, "a b" * 21 + "…"),
        ("https://hooks.example.org/t0ken", "(masked)"),
        ("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRob", "(masked)"),
        (None, "null"),
        (True, "a boolean"),
        (3, "a number"),
        (Decimal("0.5"), "a number"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_an_odd_word_is_shown_short_printable_and_never_if_it_may_be_a_secret(value: object, shown: str) -> None:
    assert word(value) == shown
    assert len(word(value)) <= 64


@pytest.mark.parametrize(
    ("prose", "kept"),
    [
        ("Bad\r\n\x1binput", "Bad input"),
        (
            "cannot load https://u:p@files.example.org:8443/in.mp3?sig=s3cret now",
            "cannot load https://files.example.org:8443/… now",
        ),
        ("see s3://bucket/key", "see s3://bucket/…"),
        ("x" * 600, "x" * 499 + "…"),
        (
            "see a-scheme-of-many-more-letters-than-any://u:s3cret@h.example/x",
            "see a-scheme-of-many-more-letters-than-any://h.example/…",
        ),
        ("see 1://u:s3cret@h.example/x", "see 1://h.example/…"),
        ("see ://u:s3cret@h.example/x", "see ://h.example/…"),
        ("see https://u@x:s3cret@h.example/x", "see https://h.example/…"),
        # What is cut off takes the end of a link along, but never what tells a password from a host.
        ("https://h.example/" + "x" * 5000, "https://h.example/…"),
        (
            "https://h.example/" + "x" * 1950 + " https://u:s3cret" + "p" * 60 + "@h",
            "https://h.example/… https://…/…",
        ),
    ],
)
def test_foreign_prose_is_kept_without_its_links(prose: str, kept: str) -> None:
    assert sentence(prose) == kept


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("conflictTaskUUID", "conflict task uuid"),
        ("invalidApiKey", "invalid api key"),
        ("face_detection_error", "face detection error"),
        ("HTTPException", "http exception"),
        ("", ""),
    ],
)
def test_codes_fall_apart_into_words(code: str, words: str) -> None:
    assert spaced(code) == words


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [(Decimal("0.15"), 150_000), (1, 1_000_000), (0, 0), (Decimal("1E-999999"), 0), ("0.15", None), (True, None)],
)
def test_money_is_whole_micro_dollars(dollars: object, micros: int | None) -> None:
    assert money(dollars) == micros


@pytest.mark.parametrize("dollars", [-1, Decimal("-0.000001"), 10_001, Decimal("1E999999")])
def test_an_absurd_cost_makes_a_report_unreadable(dollars: object) -> None:
    with pytest.raises(UnreadableError):
        money(dollars)


@pytest.mark.parametrize(
    ("header", "micros"), [("0.15", 150_000), ("0", None), ("", None), ("NaN", None), ("1e99", None)]
)
def test_an_absurd_cost_in_a_header_is_only_ignored(header: str, micros: int | None) -> None:
    assert money_in_header({"x-cost": header}, "x-cost") == micros
    assert money_in_header({}, "x-cost") is None


DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "9" * 40}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT", "date": DATE}, 60),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": DATE}, 1),
        ({"retry-after": "Sat, 21 Nov 2099 09:00:00 GMT", "date": DATE}, 3600),
        ({"retry-after": "Sat, 99 Nov 2026 10:01:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sat, 21 Nov 99999 10:01:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sat, 21 Nov " + "9" * 40 + " 10:01:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 +99999999999", "date": DATE}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359", "date": "Mon, 01 Jan 0001 00:00:00 +2359"}, 3600),
        ({"retry-after": "21 Nov " * 9000, "date": DATE}, None),
    ],
)
def test_retry_after_is_kept_between_a_second_and_an_hour(headers: dict[str, str], seconds: int | None) -> None:
    assert retry_after(headers) == (None if seconds is None else timedelta(seconds=seconds))


def test_a_signed_link_dies_when_its_query_says() -> None:
    assert expiry("https://c.example/a%2Fb.mp3?x=1&Expires=1777019942&S=%3D") == datetime(
        2026, 4, 24, 8, 39, 2, tzinfo=UTC
    )
    for query in (
        "",
        "?Expires=",
        "?Expires=soon",
        "?Expires=1",
        "?Expires=99999999999999",
        "?Expires=10000000000",
        "?Expires=-1777019942",
        "?Expires=-9223372036854775808",
        "?Expires=1e300",
        "?Expires=" + "9" * 5000,
        "?Expires=\u0661777019942",
    ):
        assert expiry(f"https://c.example/a.mp3{query}") is None


def test_a_fresh_signature_is_no_other_object() -> None:
    assert identity_of("https://c.example/a?s=1#x") == identity_of("https://c.example/a")
    assert identity_of("https://c.example/a") != identity_of("https://c.example/b")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "files.example.org/in.mp3",
        "ftp://files.example.org/in.mp3",
        "http://",
        "http:///in.mp3",
        "https://user@files.example.org/in.mp3",
        "https://user:pw@files.example.org/in.mp3",
        "https://files.example.org/in put.mp3",
        "https://files.example.org/\tin.mp3",
        "https://files.example.org\\in.mp3",
        "https://files.example.org/\x7f",
        "https://files.example.org:99999/",
        "https://files.example.org:0/",
        "http://[",
        "https://files.example.org/" + "x" * 2048,
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    assert problem_with(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.org",
        "HTTPS://x.example:8443/a%2Fb?c=d#e",
        "https://[2001:db8::1]/a",
        "http://127.0.0.1:9090/in.mp3",
    ],
)
def test_plain_web_addresses_pass(url: str) -> None:
    assert problem_with(url) is None
