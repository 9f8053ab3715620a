"""The secrets of endpoints: sealed where they are kept, several at once while one takes the place of another."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from receiver.domain.endpoint import Endpoint
from receiver.lifecycle.ports import Ports

#: The newest are kept; each signs every notification.
MOST_SECRETS = 4


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that signs, until a moment where another has taken its place."""

    key: bytes = field(repr=False)
    until: datetime | None = None


def seal(ports: Ports, endpoint_id: UUID, secrets: tuple[Secret, ...]) -> str:
    """Return the secrets of an endpoint as they are kept. They open for this endpoint alone."""
    document = {
        "endpoint": endpoint_id.hex,
        "secrets": [[secret.key.hex(), secret.until and secret.until.timestamp()] for secret in secrets],
    }
    return ports.notifying.vault.seal(json.dumps(document).encode())


def unseal(ports: Ports, endpoint: Endpoint) -> tuple[Secret, ...]:
    """Return the secrets of an endpoint, the newest first; none when they cannot be read any more."""
    opened = None if endpoint.sealed is None else ports.notifying.vault.unseal(endpoint.sealed)
    if opened is None:
        return ()
    document = json.loads(opened)
    if document["endpoint"] != endpoint.id.hex:
        return ()
    return tuple(
        Secret(bytes.fromhex(key), None if until is None else datetime.fromtimestamp(until, UTC))
        for key, until in document["secrets"]
    )


def keys_of(ports: Ports, endpoint: Endpoint, now: datetime) -> tuple[bytes, ...]:
    """Return what signs the notifications of an endpoint now, the newest first; none when that cannot be read."""
    if endpoint.configured:
        return ports.notifying.keys
    return tuple(secret.key for secret in unseal(ports, endpoint) if secret.until is None or secret.until > now)
