"""Whom our verifier believes; what other libraries say of the same requests is in tests/sdk/test_third_parties.py."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from receiver import sdk
from receiver.sdk import verify_notification
from tests.cli.fake_service import TASK_ID, result, succeeded

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SENT = str(int(NOW.timestamp()))
BODY = json.dumps(
    {
        "type": "task.succeeded",
        "timestamp": "2026-11-20T10:00:25.000000Z",
        "data": succeeded(metadata={"å": "été 🎷"}),
    },
    ensure_ascii=False,
).encode()


def signature(body: bytes = BODY, *, secret: str = SECRET, identity: str = "msg_1", sent: str = SENT) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{identity}.{sent}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac).decode()


def headers(signatures: str | None = None, *, identity: str = "msg_1", sent: str = SENT) -> dict[str, str]:
    return {
        "Webhook-Id": identity,
        "webhook-timestamp": sent,
        "WEBHOOK-SIGNATURE": signature() if signatures is None else signatures,
        "content-type": "application/json",
    }


def verified(
    body: bytes = BODY, given: dict[str, str] | None = None, secrets: str | list[str] = SECRET
) -> sdk.Notification:
    return verify_notification(body, headers() if given is None else given, secrets, now=NOW)


def test_a_genuine_notification_is_read_with_its_task() -> None:
    notification = verified()
    assert (notification.id, notification.type) == ("msg_1", "task.succeeded")
    assert notification.happened_at == datetime(2026, 11, 20, 10, 0, 25, tzinfo=UTC)
    assert notification.task is not None
    assert notification.task_id == notification.task.id == TASK_ID
    assert notification.task.metadata == {"å": "été 🎷"}


def test_a_stored_result_is_read_with_the_id_of_its_task() -> None:
    data = {"task_id": TASK_ID, "result": result()}
    body = json.dumps({"type": "result.stored", "timestamp": "2026-11-20T10:00:25Z", "data": data}).encode()
    notification = verified(body, headers(signature(body)))
    assert notification.task_id == TASK_ID
    assert notification.task is None
    assert notification.result is not None
    assert notification.result.artifact.status == "stored"


def test_what_a_later_version_tells_is_handed_on_as_it_is() -> None:
    body = json.dumps({"type": "task.sung", "timestamp": "2026-11-20T10:00:25Z", "data": {"x": 1}}).encode()
    notification = verified(body, headers(signature(body)))
    assert (notification.type, notification.task, notification.data) == ("task.sung", None, {"x": 1})


def test_the_example_of_the_specification_fits() -> None:
    """The one with which the reference implementations test their own signing."""
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    with pytest.raises(sdk.UnreadableNotificationError, match="signed"):
        verify_notification(
            b'{"test": 2432232314}',
            given,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            now=datetime.fromtimestamp(1614265330, UTC),
        )


def test_while_keys_are_changed_either_side_may_hold_two() -> None:
    both = f"{signature(secret=OTHER)} {signature()}"
    assert verified(given=headers(both)).id == "msg_1"
    assert verified(given=headers(both), secrets=OTHER).id == "msg_1"
    assert verified(secrets=[OTHER, SECRET]).id == "msg_1"
    with pytest.raises(sdk.ForgedNotificationError):
        verified(given=headers(signature(secret=OTHER)))


@pytest.mark.parametrize(
    "signatures",
    [
        "v1,",
        "v1",
        "nonsense",
        "v1a," + base64.b64encode(bytes(64)).decode(),
        signature().replace("v1,", "v2,"),
        signature().replace("v1,", "V1,"),
        signature().removeprefix("v1,"),
        signature()[:-1],
        signature() + "=",
        " ".join(["v1,AAAA"] * 32 + [signature()]),
        "v1,été",
        "v1,\udcff",
    ],
    ids=lambda text: text.encode("utf-8", "replace").decode()[:20],
)
def test_a_signature_that_is_none_is_refused_and_nothing_else_happens(signatures: str) -> None:
    with pytest.raises(sdk.ForgedNotificationError):
        verified(given=headers(signatures))


def test_whatever_is_changed_on_the_way_is_noticed() -> None:
    changed = [
        (BODY + b" ", headers()),
        (BODY.replace(b"succeeded", b"failed", 1), headers()),
        (BODY, headers(signature(), identity="msg_2")),
        (BODY, headers(signature(), sent=str(int(SENT) + 1))),
    ]
    for body, given in changed:
        with pytest.raises(sdk.ForgedNotificationError):
            verified(body, given)


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE"])
def test_a_header_that_is_missing_is_named(name: str) -> None:
    given = headers()
    del given[name]
    with pytest.raises(sdk.ForgedNotificationError, match=name.lower()):
        verified(given=given)
    with pytest.raises(sdk.ForgedNotificationError, match=name.lower()):
        verified(given={**given, name: ""})


@pytest.mark.parametrize("sent", ["+1", "1e9", "1763715600.0", " 1763715600", "-1", "١٢٣", "9" * 12, "01763715600"])
def test_a_time_that_is_no_whole_number_of_seconds_is_refused(sent: str) -> None:
    with pytest.raises(sdk.ForgedNotificationError):
        verified(given=headers(signature(sent=sent), sent=sent))


@pytest.mark.parametrize("away", [-301, 301])
def test_a_repeat_is_known_by_its_age_and_a_clock_that_is_wrong_too(away: int) -> None:
    sent = str(int(SENT) + away)
    given = headers(signature(sent=sent), sent=sent)
    with pytest.raises(sdk.StaleNotificationError) as caught:
        verified(given=given)
    assert caught.value.sent_at == NOW + timedelta(seconds=away)
    assert verify_notification(BODY, given, SECRET, tolerance_seconds=301, now=NOW).id == "msg_1"


def test_what_is_changed_is_called_forged_even_when_it_is_old() -> None:
    with pytest.raises(sdk.ForgedNotificationError):
        verified(given=headers(signature(), sent="1"))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%", "whsec_é", SECRET.removeprefix("whsec_"), "whsec_AAA"])
def test_a_secret_that_is_none_is_a_mistake_of_the_caller_and_is_not_quoted(secret: str) -> None:
    with pytest.raises(sdk.UnusableSecretError) as caught:
        verified(secrets=[SECRET, secret])
    assert SECRET not in str(caught.value)
    with pytest.raises(sdk.UnusableSecretError):
        verified(secrets=[])


def test_the_end_of_the_line_of_a_secrets_file_does_not_matter() -> None:
    assert verified(secrets=SECRET + "\n").id == "msg_1"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"type": 1}', b"[" * 100_000])
def test_what_is_signed_and_no_notification_is_told_apart_from_a_forgery(body: bytes) -> None:
    with pytest.raises(sdk.UnreadableNotificationError):
        verified(body, headers(signature(body)))


def test_a_body_that_was_parsed_already_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="bytes"):
        verify_notification(BODY.decode(), headers(), SECRET, now=NOW)  # type: ignore[arg-type]
