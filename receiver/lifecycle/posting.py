"""Posting: what a notification looks like on the wire, signed over exactly the bytes that are sent."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from receiver.domain.delivery import Told, signed
from receiver.domain.endpoint import origin
from receiver.domain.errors import FieldProblem
from receiver.domain.exchange import HttpRequest
from receiver.lifecycle.ports import Ports

LONGEST_URL = 2048
_HEADERS = {"content-type": "application/json", "user-agent": "receiver"}


def notification(kind: str, at: datetime, data: Mapping[str, object]) -> bytes:
    """Return the bytes of a notification; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    content = {"type": kind, "timestamp": moment, "data": data}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


async def post(ports: Ports, url: str, name: UUID, body: bytes, keys: tuple[bytes, ...]) -> Told:
    """Sign a notification and send it."""
    headers = {**_HEADERS, **signed(name, ports.system.now(), body, keys)}
    request = HttpRequest("POST", url, headers, body, ports.notifying.timeout_seconds)
    return await ports.outbound.notify(request)


def without_download_links(shown: Mapping[str, object]) -> dict[str, object]:
    """Return a task as it is shown, without links that open its audio to whoever reads them."""
    results = shown["results"]
    cut = [{**result, "download_url": None} for result in results] if isinstance(results, list) else []
    return {**shown, "results": cut}


async def notify_url_problems(ports: Ports, url: str | None) -> list[FieldProblem]:
    """Say why a task's own URL cannot be told: a signature of ours is for who holds the secret and nobody else.

    Raises UnavailableError.
    """
    if url is None:
        return []
    wanted = origin(url)
    if len(url) > LONGEST_URL:
        message = f"must have at most {LONGEST_URL} characters"
    elif wanted is None or "#" in url:
        message = "must be an http(s) URL without user name and fragment, in ASCII"
    elif wanted not in {origin(endpoint.url) for endpoint in await ports.store.outbox.endpoints()}:
        message = "must have the scheme, host and port of RECEIVER_NOTIFY_URL or of an endpoint of /v1/endpoints"
    else:
        return []
    return [FieldProblem("notify_url", message)]
