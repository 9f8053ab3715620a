"""What we sign, others verify: the libraries for Standard Webhooks that users already have, and our own."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from receiver.domain.delivery import read_secret, signed, spell_secret
from receiver.lifecycle.posting import notification
from tests.cli.fake_service import succeeded
from tests.sdk.third_parties import Case, believed, of_npm, of_ours, of_python

SECRET, NEXT = spell_secret(bytes(range(32))), spell_secret(bytes(range(1, 33)))
DELIVERY = UUID("0193522d-1c00-7000-8000-0123456789ab")
WORDS = 'été – 音楽 🎷 ‍ \u0000 \u2028 e\u0301 \\ " </script>'
BODY = notification(
    "task.succeeded", datetime(2026, 11, 20, 10, 0, 25, tzinfo=UTC), succeeded(metadata={"words": WORDS})
)

_ID, _TIME, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def headers(*secrets: str, body: bytes = BODY, ago: float = 0.0) -> dict[str, str]:
    """What our service puts beside a body, signed so many seconds ago."""
    return signed(DELIVERY, datetime.now(UTC) - timedelta(seconds=ago), body, [read_secret(each) for each in secrets])


def genuine() -> list[Case]:
    spaced = json.dumps(json.loads(BODY), indent=2).encode()
    rotated = headers(NEXT, SECRET)
    large = json.dumps({**json.loads(BODY), "more": "é" * 200_000}, ensure_ascii=False).encode()
    upper = {name.title(): value for name, value in headers(SECRET).items()}
    return [
        Case("plain", SECRET, BODY, headers(SECRET)),
        Case("other white space", SECRET, spaced, headers(SECRET, body=spaced)),
        Case("large", SECRET, large, headers(SECRET, body=large)),
        Case("names in capitals", SECRET, BODY, upper),
        Case("rotating, the old secret", SECRET, BODY, rotated),
        Case("rotating, the new secret", NEXT, BODY, rotated),
        Case("four minutes ago", SECRET, BODY, headers(SECRET, ago=240)),
        Case("four minutes ahead", SECRET, BODY, headers(SECRET, ago=-240)),
    ]


def forged() -> list[Case]:
    now = headers(SECRET)
    later = str(int(now[_TIME]) + 1)
    first, last = now[_SIGNATURE][:4], now[_SIGNATURE][-5:]

    def with_(name: str, value: str) -> Mapping[str, str]:
        return {**now, name: value}

    def without(name: str) -> Mapping[str, str]:
        return {key: value for key, value in now.items() if key != name}

    changed = [
        Case("another body", SECRET, BODY.replace(b"succeeded", b"cancelled", 1), now),
        Case("another letter", SECRET, BODY.replace("é".encode(), "e\u0301".encode(), 1), now),
        Case("the same JSON in other bytes", SECRET, json.dumps(json.loads(BODY)).encode(), now),
        Case("a longer body", SECRET, BODY + b"\n", now),
        Case("a shorter body", SECRET, BODY[:-1], now),
        Case("another time", SECRET, BODY, with_(_TIME, later)),
        Case("another id", SECRET, BODY, with_(_ID, str(UUID(int=DELIVERY.int + 1)))),
        Case("another signature", SECRET, BODY, with_(_SIGNATURE, "v1," + "A" * 43 + "=")),
        Case("a first letter", SECRET, BODY, with_(_SIGNATURE, first.swapcase() + now[_SIGNATURE][4:])),
        Case("a last letter", SECRET, BODY, with_(_SIGNATURE, now[_SIGNATURE][:-5] + last[::-1])),
        Case("half a signature", SECRET, BODY, with_(_SIGNATURE, now[_SIGNATURE][:24])),
        Case("a signature of another kind", SECRET, BODY, with_(_SIGNATURE, now[_SIGNATURE].replace("v1,", "v1a,"))),
        Case("a signature of no kind", SECRET, BODY, with_(_SIGNATURE, now[_SIGNATURE].removeprefix("v1,"))),
        Case("another secret", NEXT, BODY, now),
        Case("six minutes ago", SECRET, BODY, headers(SECRET, ago=360)),
        Case("six minutes ahead", SECRET, BODY, headers(SECRET, ago=-360)),
    ]
    return changed + [Case(f"no {name}", SECRET, BODY, without(name)) for name in now]


@pytest.mark.parametrize("said", [of_ours, of_python])
def test_libraries_for_python_believe_what_we_sign_and_nothing_else(
    said: Callable[[Sequence[Case]], Mapping[str, object]],
) -> None:
    verdicts = said(genuine() + forged())
    assert believed(verdicts) == {case.name for case in genuine()}, verdicts


def test_libraries_for_javascript_believe_what_we_sign_and_nothing_else() -> None:
    for library, verdicts in of_npm(genuine() + forged()).items():
        assert believed(verdicts) == {case.name for case in genuine()}, (library, verdicts)
