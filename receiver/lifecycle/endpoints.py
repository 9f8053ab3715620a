"""Endpoints: what a user does about where the application is told: add, try, pause, renew the secret, remove."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from uuid import UUID

from receiver.domain.delivery import TOLD_OF, DeliveryError, Told, read_secret, spell_secret
from receiver.domain.endpoint import Endpoint, origin, paused, resumed
from receiver.domain.errors import FieldProblem, InvalidRequestError, NotFoundError, ReceiverError
from receiver.domain.event import EventType
from receiver.lifecycle.ports import DeliveryFilter, Ports, Queue
from receiver.lifecycle.posting import LONGEST_URL, notification, post
from receiver.lifecycle.sealing import MOST_SECRETS, Secret, keys_of, seal, unseal

LONGEST_OVERLAP = timedelta(days=30)
#: Sent again by one call; the caller is told when there may be more.
MOST_REDRIVEN = 10_000
_REDRIVEN_AT_ONCE = 200
#: What a notification that only tries an endpoint says it is.
TEST_TYPE = "endpoint.test"


class ConfiguredEndpointError(ReceiverError):
    """The endpoint of RECEIVER_NOTIFY_URL is changed by the settings alone."""


async def add(
    ports: Ports, url: str, types: Collection[str] | None = None, secret: str | None = None
) -> tuple[Endpoint, str]:
    """Register an endpoint and return it with its secret, which is told this once.

    Raises InvalidRequestError naming every field at fault, EndpointTakenError, TooManyEndpointsError,
    UnavailableError.
    """
    problems = []
    refused = await _url_problem(ports, url)
    if refused is not None:
        problems.append(FieldProblem("url", refused))
    wanted, unknown = _types(types)
    if unknown is not None:
        problems.append(FieldProblem("types", unknown))
    key, wrong = _key_of(ports, secret)
    if wrong is not None:
        problems.append(FieldProblem("secret", wrong))
    if problems:
        raise InvalidRequestError(tuple(problems))
    endpoint_id = ports.system.new_id()
    sealed = seal(ports, endpoint_id, (Secret(key),))
    endpoint = Endpoint(endpoint_id, url, ports.system.now(), wanted, sealed)
    await ports.store.outbox.add_endpoint(endpoint)
    return endpoint, spell_secret(key)


async def remove(ports: Ports, endpoint_id: UUID) -> None:
    """Tell an endpoint nothing any more. Raises NotFoundError, ConfiguredEndpointError, UnavailableError."""
    endpoint = await _found(ports, endpoint_id)
    if endpoint.configured:
        raise ConfiguredEndpointError
    if not await ports.store.outbox.remove_endpoint(endpoint_id, ports.system.now()):
        raise NotFoundError


async def pause(ports: Ports, endpoint_id: UUID) -> Endpoint:
    """Send nothing to an endpoint until it is resumed. Raises NotFoundError, UnavailableError."""
    now = ports.system.now()
    return await _changed(ports, endpoint_id, lambda endpoint: paused(endpoint, now))


async def resume(ports: Ports, endpoint_id: UUID) -> Endpoint:
    """Send to an endpoint again, what waits for it too. Raises NotFoundError, UnavailableError."""
    endpoint = await _changed(ports, endpoint_id, resumed)
    ports.wake(Queue.NOTIFY)
    return endpoint


async def rotate(ports: Ports, endpoint_id: UUID, secret: str | None, overlap: timedelta) -> tuple[Endpoint, str]:
    """Give an endpoint a new secret and return that, told this once; the former ones sign too for ``overlap``.

    Raises NotFoundError, ConfiguredEndpointError, InvalidRequestError, UnavailableError.
    """
    endpoint = await _found(ports, endpoint_id)
    if endpoint.configured:
        raise ConfiguredEndpointError
    key, wrong = _key_of(ports, secret)
    if wrong is not None:
        raise InvalidRequestError((FieldProblem("secret", wrong),))
    now = ports.system.now()

    def renewed(current: Endpoint) -> Endpoint:
        ends = now + overlap
        former = [
            replace(known, until=min(ends, known.until or ends))
            for known in unseal(ports, current)
            if known.key != key and (known.until is None or known.until > now)
        ]
        if not overlap:
            former = []
        elif len(former) >= MOST_SECRETS:
            # To drop the oldest would end it before the time that was promised for it.
            raise InvalidRequestError((FieldProblem("overlap_seconds", _too_many(former)),))
        return replace(current, sealed=seal(ports, endpoint_id, (Secret(key), *former)))

    return await _changed(ports, endpoint_id, renewed), spell_secret(key)


async def test(ports: Ports, endpoint_id: UUID) -> Told:
    """Send a notification that only tries an endpoint, now, and return what came of it; nothing of it is kept.

    Raises NotFoundError, UnavailableError.
    """
    endpoint = await _found(ports, endpoint_id)
    now = ports.system.now()
    keys = keys_of(ports, endpoint, now)
    if not keys:
        return Told(DeliveryError.SECRET)
    body = notification(TEST_TYPE, now, {"endpoint_id": str(endpoint.id)})
    return await post(ports, endpoint.url, ports.system.new_id(), body, keys)


async def redrive(ports: Ports, wanted: DeliveryFilter) -> tuple[int, bool]:
    """Have deliveries that ended sent again under their ids; return how many, and whether there may be more.

    Raises UnavailableError, then perhaps after a part of them.
    """
    count, wanted = 0, replace(wanted, limit=_REDRIVEN_AT_ONCE)
    while count < MOST_REDRIVEN:
        made, last = await ports.store.outbox.redrive(wanted, ports.system.now())
        count += made
        if last is None:
            break
        wanted = replace(wanted, after_id=last)
    if count:
        ports.wake(Queue.NOTIFY)
    return count, count >= MOST_REDRIVEN


def _too_many(former: Sequence[Secret]) -> str:
    first = min(known.until for known in former if known.until is not None)
    return (
        f"{len(former)} secrets of this endpoint sign already, as many as may at once; "
        f"the first of them to end does so at {first.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}; 0 ends all of them now"
    )


async def _url_problem(ports: Ports, url: str) -> str | None:
    if len(url) > LONGEST_URL:
        return f"must have at most {LONGEST_URL} characters"
    if "#" in url or origin(url) is None:
        return "must be an http(s) URL without user name and fragment, in ASCII"
    refused = await ports.outbound.refusal_to_notify(url)
    return None if refused is None else f"cannot be called: {refused}"


def _types(types: Collection[str] | None) -> tuple[frozenset[EventType] | None, str | None]:
    if types is None:
        return None, None
    known = {kind.value: kind for kind in TOLD_OF}
    if not types or not set(types) <= known.keys():
        return None, f"must be some of: {', '.join(known)}"
    return frozenset(known[word] for word in types), None


def _key_of(ports: Ports, secret: str | None) -> tuple[bytes, str | None]:
    if secret is None:
        # 32 bytes, 244 bits of them random.
        return ports.system.new_id().bytes + ports.system.new_id().bytes, None
    try:
        return read_secret(secret), None
    except ValueError as error:
        return b"", str(error)


async def _found(ports: Ports, endpoint_id: UUID) -> Endpoint:
    endpoint = await ports.store.outbox.endpoint(endpoint_id)
    if endpoint is None:
        raise NotFoundError
    return endpoint


async def _changed(ports: Ports, endpoint_id: UUID, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
    changed = await ports.store.outbox.change_endpoint(endpoint_id, change)
    if changed is None:
        raise NotFoundError
    return changed[1]
