"""Notifications on real sockets, to servers that mean no good: what each answer counts as, and that calls end."""

import asyncio

import pytest

from receiver.domain.delivery import LONGEST_RETRY_AFTER, DeliveryError, Told
from receiver.domain.exchange import HttpRequest
from receiver.outbound import AllowedHosts, HttpOutbound, Network
from tests.outbound.door import (
    Script,
    answer,
    answers,
    caller,
    door,
    ok,
    redirect,
    repeats,
    resets_after,
    stalls_after,
)
from tests.outbound.fakes import PUBLIC, SSL_CONTEXT, Names, Wires

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
#: What a call may take: where it is to end by that, and where it is not, however slow this machine is just now.
SHORT, LONG = 1.5, 60.0


def news(url: str, *, seconds: float = LONG) -> HttpRequest:
    return HttpRequest("POST", url, {"webhook-id": "1"}, b"{}", seconds)


async def told_by(script: Script, *, seconds: float = LONG) -> Told:
    async with door(script) as server, caller() as outbound:
        return await outbound.notify(news(server.url, seconds=seconds))


TAKEN = {
    "a body without end": repeats(CHUNKED, b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
    "a body of a byte at a time": repeats(OK + b"Content-Length: 100\r\n\r\n", b"x", pause_seconds=0.05),
    "a reset amid its body": resets_after(OK + b"Content-Length: 100\r\n\r\nhalf"),
    "silence after its head": stalls_after(OK + b"Content-Length: 100\r\n\r\n"),
    "a body that is no gzip": answers(ok(b"no", "Content-Encoding: gzip")),
    "chunks that are none": answers(CHUNKED + b"zz\r\n"),
    "many early hints before it": answers(EARLY * 50 + ok(b"")),
    "no length": answers(OK + b"\r\nwhatever"),
}
REFUSED = {
    "early hints without end": (repeats(b"", EARLY * 20, pause_seconds=0.01), DeliveryError.TIMEOUT, None),
    "a head of a byte at a time": (repeats(b"HTTP/1.1 200 ", b"O", pause_seconds=0.05), DeliveryError.TIMEOUT, None),
    "a head without end": (repeats(OK, b"X-More: " + b"x" * 4000 + b"\r\n"), DeliveryError.ANSWER, None),
    "nothing": (stalls_after(b""), DeliveryError.TIMEOUT, None),
    "the end at once": (answers(b""), DeliveryError.ANSWER, None),
    "no HTTP": (answers(b"220 smtp.example ready\r\n"), DeliveryError.ANSWER, None),
    "a change of protocol": (answers(b"HTTP/1.1 101 No\r\nUpgrade: h2c\r\n\r\n"), DeliveryError.ANSWER, None),
    "another address": (answers(redirect("http://127.0.0.1:9/", 308)), DeliveryError.REDIRECT, 308),
    "a number of its own": (answers(answer(999, b"")), DeliveryError.STATUS, 999),
    "that it is gone": (answers(answer(410, b"", "Retry-After: 5")), DeliveryError.GONE, 410),
}


@pytest.mark.parametrize("what", TAKEN)
async def test_a_2xx_takes_it_whatever_is_behind_its_head(what: str) -> None:
    told = await told_by(TAKEN[what])
    assert (told.error, told.http_status) == (None, 200)


@pytest.mark.parametrize("what", REFUSED)
async def test_everything_else_is_refused_in_one_word_and_in_time(what: str) -> None:
    script, error, status = REFUSED[what]
    told = await told_by(script, seconds=SHORT if error is DeliveryError.TIMEOUT else LONG)
    assert (told.error, told.http_status, told.retry_after) == (error, status, None)


@pytest.mark.parametrize(
    "header",
    [
        f"Retry-After: {'9' * 5000}",
        "Date: Sun, 01 Mar 2026 12:00:00 GMT\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
async def test_nobody_can_ask_for_more_time_than_an_hour(header: str) -> None:
    assert (await told_by(answers(answer(503, b"", header)))).retry_after == LONGEST_RETRY_AFTER


@pytest.mark.parametrize("text", ["-1", "1e9", "soon", "Fri, 99 Foo 99999 99:99:99 GMT", "\u00bd", ""])
async def test_nonsense_in_a_retry_after_asks_for_nothing(text: str) -> None:
    script = answers(answer(503, b"", f"Retry-After: {text}"))
    assert (await told_by(script)).retry_after is None


async def test_a_connection_that_was_closed_in_between_is_not_taken_for_an_answer() -> None:
    async with door(answers(ok(b"")), answers(ok(b""), then_close=False)) as server, caller() as outbound:
        for _ in range(4):
            assert (await outbound.notify(news(server.url))).error is None
        # The first was closed; those after it share one.
        assert (len(server.requests), server.connections) == (4, 2)


async def test_tls_that_fails_is_told_from_a_connection_that_does() -> None:
    async def speaks_no_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speaks_no_tls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with caller() as outbound:
        spoken = await outbound.notify(news(f"https://127.0.0.1:{port}/"))
        server.close()
        await server.wait_closed()
        closed = await outbound.notify(news(f"https://127.0.0.1:{port}/"))
    assert (spoken.error, closed.error) == (DeliveryError.TLS, DeliveryError.CONNECTION)


async def test_a_name_is_judged_anew_for_each_connection() -> None:
    names, wires = Names(), Wires({PUBLIC: ok(b"", "Connection: close")})
    network = Network(resolve=names, backend=wires, ssl_context=SSL_CONTEXT)
    async with HttpOutbound(allowed=AllowedHosts.parse(""), provider_urls=(), network=network) as outbound:
        told = []
        for addresses in ([PUBLIC], ["127.0.0.1"], [PUBLIC, "169.254.169.254"], ["::ffff:10.0.0.1"], [PUBLIC]):
            names.set("app.example", addresses)
            told.append((await outbound.notify(news("https://app.example/"))).error)
    forbidden = DeliveryError.FORBIDDEN
    assert told == [None, forbidden, forbidden, forbidden, None]
    assert {address for address, _ in wires.connected} == {PUBLIC}
