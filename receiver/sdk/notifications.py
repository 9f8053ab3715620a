"""Is a notification that arrives at your application genuine? Standard Webhooks 1.0, symmetric signatures (v1).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

NotificationError
├── UnusableSecretError          the secret is none: a mistake of yours, answer 500
├── ForgedNotificationError      not signed with any of the secrets: answer 400 and forget it
├── StaleNotificationError       genuine, but sent too long ago or in the future: a repeat, or a wrong clock; 400
└── UnreadableNotificationError  genuine, but none that this version understands; 400, and it is tried again later
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from receiver.sdk.errors import ClientError
from receiver.sdk.values import Result, Task, one, part, result_of, task_of, time_of

_OF_A_TASK = frozenset(f"task.{word}" for word in ("succeeded", "partial", "failed", "lost", "found", "cancelled"))
_OF_A_RESULT = "result.stored"
#: How far from now a notification may say that it was sent.
TOLERANCE_SECONDS = 300.0
_PREFIX = "whsec_"
_VERSION = b"v1,"
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
#: Unix seconds, without a sign, a fraction or an exponent: of every number there is one way to write it.
_UNIX_SECONDS = re.compile(rb"0|[1-9][0-9]{0,10}")
#: Two keys of an endpoint at once is what a rotation needs; this many are no longer compared.
_MOST_SIGNATURES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotificationError(ClientError):
    """The root of every reason not to believe a notification."""


class UnusableSecretError(NotificationError):
    """A secret is not of the form ``whsec_`` and base64, or there is none."""


class ForgedNotificationError(NotificationError):
    """No signature fits: changed on its way, made by somebody else, or under a secret that is not among yours."""


class StaleNotificationError(NotificationError):
    """It was signed, at ``sent_at``, too far from now: a repeat by somebody else, or one of the clocks is wrong."""

    def __init__(self, sent_at: datetime, tolerance_seconds: float) -> None:
        """Keep when it says it was sent."""
        super().__init__(f"it was sent at {sent_at.isoformat()}, more than {tolerance_seconds:g} s from now")
        self.sent_at = sent_at


class UnreadableNotificationError(NotificationError):
    """It is genuine and holds no notification that this version understands."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What happened, told by the receiver itself. ``id`` stays the same over repeats, so keep it to know them.

    ``type``: ``task.succeeded``, ``.partial``, ``.failed``, ``.lost``, ``.found`` or ``.cancelled``, with the whole
    ``task``; or ``result.stored`` with the ``result`` of the task ``task_id``; or one that this version does not
    know, with ``data`` alone. ``happened_at`` may lie long before it is told.
    """

    id: str
    type: str
    happened_at: datetime
    task_id: str | None
    task: Task | None
    result: Result | None
    data: Mapping[str, object] = field(repr=False)


def verify_notification(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: datetime | None = None,
) -> Notification:
    """Return what a request told, once it is certain that the receiver sent it.

    ``body`` is the request's body as it came, unparsed; ``headers`` are its headers, in any case; ``secrets`` the
    endpoint's secret, or several of them while they are being changed. ``now`` stands in for the clock.
    Raises the errors that this module opens with; all signatures are compared in constant time.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError("the body is needed as the bytes that came: any other form of it has another signature")
    keys = _keys([secrets] if isinstance(secrets, str) else secrets)
    identity, sent, given = (_header(headers, name) for name in (_ID, _TIMESTAMP, _SIGNATURE))
    if not _UNIX_SECONDS.fullmatch(sent):
        raise ForgedNotificationError(f"{_TIMESTAMP} is not a number of seconds since 1970")
    signed = b".".join((identity, sent, bytes(body)))
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    if not _any_fits(given, expected):
        raise ForgedNotificationError("no signature fits the body, its id and its time under the secret")
    moment = time.time() if now is None else (now - _EPOCH).total_seconds()
    if abs(moment - int(sent)) > tolerance_seconds:
        raise StaleNotificationError(_EPOCH + timedelta(seconds=int(sent)), tolerance_seconds)
    return _notification(identity.decode("ascii"), bytes(body))


def _keys(secrets: Sequence[str]) -> list[bytes]:
    """Read the secrets; none of them is quoted in what is raised."""
    keys = []
    for secret in secrets:
        text = secret.strip()
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX).encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            key = b""
        if not text.startswith(_PREFIX) or not key:
            raise UnusableSecretError("a secret looks like whsec_ and base64 behind it")
        keys.append(key)
    if not keys:
        raise UnusableSecretError("a secret is needed to verify anything")
    return keys


def _header(headers: Mapping[str, str], name: str) -> bytes:
    found = [value for key, value in headers.items() if key.lower() == name]
    if len(found) != 1 or not found[0]:
        raise ForgedNotificationError(
            f"the header {name} is missing" if not found else f"{name} is empty or repeated"
        )
    try:
        return found[0].encode("ascii")
    except UnicodeEncodeError:
        raise ForgedNotificationError(f"the header {name} holds what no receiver sends") from None


def _any_fits(given: bytes, expected: Sequence[bytes]) -> bool:
    """Compare every signature with every key, whether or not one has fitted already."""
    fits = False
    for signature in given.split(b" ")[:_MOST_SIGNATURES]:
        if signature.startswith(_VERSION):
            for each in expected:
                fits |= hmac.compare_digest(signature.removeprefix(_VERSION), each)
    return fits


def _notification(identity: str, body: bytes) -> Notification:
    try:
        document = part({"the body": json.loads(body)}, "the body")
        kind, data = one(document, "type", str), part(document, "data")
        task, stored = task_of(data) if kind in _OF_A_TASK else None, kind == _OF_A_RESULT
        return Notification(
            id=identity,
            type=kind,
            happened_at=time_of(document, "timestamp"),
            task_id=task.id if task else one(data, "task_id", str) if stored else None,
            task=task,
            result=result_of(part(data, "result")) if stored else None,
            data=data,
        )
    except (ValueError, RecursionError) as error:
        raise UnreadableNotificationError(f"it is signed, and not understood: {error}") from None
