"""Notifications on the wire: one POST to an endpoint of the user, of whose answer only the status counts."""

import contextlib
import ssl
from http import HTTPStatus

import anyio
import httpx

from receiver.domain.delivery import DeliveryError, Told, retry_after
from receiver.outbound.faults import FAULTS, chain_of
from receiver.outbound.links import ForbiddenError
from receiver.outbound.network import NoAddressError, Pool

#: Of an answer so much is read, to keep its connection for the next; a longer one costs the connection.
MOST_ANSWER_BYTES = 4096
#: How long that may take: the answer counts whether it ends or not.
_REST_SECONDS = 1.0
#: The first that fits counts.
_WORDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], DeliveryError], ...] = (
    (ForbiddenError, DeliveryError.FORBIDDEN),
    (NoAddressError, DeliveryError.NAME),
    ((TimeoutError, httpx.TimeoutException), DeliveryError.TIMEOUT),
    (ssl.SSLError, DeliveryError.TLS),
    (httpx.ConnectError, DeliveryError.CONNECTION),
    (httpx.RemoteProtocolError, DeliveryError.ANSWER),
)


async def told(pool: Pool, request: httpx.Request) -> Told:
    """Send a notification and tell what the head of the answer says. Raises what the network raises."""
    async with pool.answer(request) as response:
        status = response.status_code
        asked = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        await _leave(response)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Told(None, status)
    if status == HTTPStatus.GONE:
        return Told(DeliveryError.GONE, status)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Told(DeliveryError.REDIRECT, status)
    return Told(DeliveryError.STATUS, status, asked)


def untold(fault: Exception) -> Told:
    """Tell what a fault of the network means."""
    chain = tuple(chain_of(fault))
    for kinds, word in _WORDS:
        if any(isinstance(link, kinds) for link in chain):
            return Told(word)
    return Told(DeliveryError.CONNECTION)


async def _leave(response: httpx.Response) -> None:
    """Read a short answer to its end, so that the connection can be used again; a long one is left as it is."""
    seen = 0
    with contextlib.suppress(*FAULTS), anyio.move_on_after(_REST_SECONDS):
        # As it comes, never unpacked.
        async for chunk in response.aiter_raw():
            seen += len(chunk)
            if seen > MOST_ANSWER_BYTES:
                return
