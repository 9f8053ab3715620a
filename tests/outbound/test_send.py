"""Requests to providers: whole answers, and what is known when there is none."""

import asyncio
import socket
from dataclasses import replace

import httpx
import pytest

from receiver.domain.errors import AnswerLostError, NotSentError, ReceiverError
from receiver.domain.exchange import HttpRequest
from receiver.outbound import AllowedHosts, CallLimits, HttpOutbound
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
from tests.outbound.fakes import PUBLIC, Names, Wires, outbound_on

SECRET = "sk-very-secret"


def post(url: str, *, timeout_seconds: float = 10.0) -> HttpRequest:
    """A submit with a key in its header and its query."""
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    return HttpRequest("POST", f"{url}/v1?key={SECRET}", headers, b'{"prompt": "x"}', timeout_seconds)


async def failure(outbound: HttpOutbound, request: HttpRequest) -> ReceiverError:
    """How sending fails; whatever it is, it tells no secret."""
    with pytest.raises((NotSentError, AnswerLostError)) as caught:
        await outbound.send("acme", request)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__, "h11 quotes headers"
    return caught.value


async def test_a_request_arrives_as_it_was_built_and_its_answer_comes_back_whole() -> None:
    script = answers(answer(201, b'{"id": 1}', "X-Request-ID: a", "X-Two: 1", "x-two: 2"))
    async with door(script) as served, caller(served.url) as outbound:
        got = await outbound.send("acme", post(served.url))
    assert (got.status, got.body) == (201, b'{"id": 1}')
    assert got.headers["x-request-id"] == "a"
    assert got.headers["x-two"] == "1, 2"
    head, _, body = served.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == f"POST /v1?key={SECRET} HTTP/1.1".encode()
    assert body == b'{"prompt": "x"}'
    lowered = {line.lower() for line in lines[1:]}
    assert f"host: 127.0.0.1:{served.port}".encode() in lowered
    assert f"authorization: bearer {SECRET}".encode() in lowered
    assert b"accept-encoding: identity" in lowered
    assert b"content-length: 15" in lowered


async def test_a_provider_cannot_be_asked_for_an_encoded_answer() -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        await outbound.send("acme", HttpRequest("GET", served.url, {"Accept-Encoding": "gzip", "ACCEPT": "a/b"}))
    head = served.requests[0].lower()
    assert head.count(b"accept-encoding") == 1
    assert b"accept-encoding: identity" in head
    assert b"accept: a/b" in head


async def test_a_percent_encoded_id_stays_as_it_was_written() -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        await outbound.send("acme", HttpRequest("GET", f"{served.url}/v2/a/../x?generation_id=a%3ab%2Fc"))
    assert served.targets == [b"/v2/a/../x?generation_id=a%3ab%2Fc"]


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 400, 401, 404, 429, 500, 503])
async def test_every_status_is_an_answer(status: int) -> None:
    body = b"" if status == 204 else b"{}"
    script = answers(answer(status, body, "Location: http://127.0.0.1:1/elsewhere"))
    async with door(script) as served, caller(served.url) as outbound:
        got = await outbound.send("acme", post(served.url))
    assert (got.status, got.body) == (status, body)
    assert len(served.requests) == 1


async def test_a_redirect_to_nonsense_is_an_answer_like_any_other() -> None:
    async with door(answers(redirect("http://[nonsense"))) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", post(served.url))).status == 302


async def test_cookies_of_a_provider_are_not_kept() -> None:
    script = answers(ok(b"{}", "Set-Cookie: a=b; Path=/"), then_close=False)
    async with door(script) as served, caller(served.url) as outbound:
        for _ in range(2):
            await outbound.send("acme", post(served.url))
    assert b"cookie" not in served.requests[1].lower()


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", post(served.url))).status == 200


async def test_a_connection_is_used_again() -> None:
    async with door(answers(ok(b"{}"), then_close=False)) as served, caller(served.url) as outbound:
        for _ in range(5):
            await outbound.send("acme", post(served.url))
    assert (len(served.requests), served.connections) == (5, 1)


async def test_a_kept_connection_that_the_server_has_closed_is_not_used() -> None:
    async with door(answers(ok(b"{}"), then_close=True)) as served, caller(served.url) as outbound:
        for _ in range(3):
            assert (await outbound.send("acme", post(served.url))).status == 200
    assert served.connections == 3


def get(url: str) -> HttpRequest:
    """A look."""
    return HttpRequest("GET", f"{url}/v2?generation_id=a", {"Authorization": f"Bearer {SECRET}"})


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection instead of answering."""
    writer.close()


async def test_what_can_be_sent_again_is_when_the_connection_was_closed_meanwhile() -> None:
    kept = answers(ok(b"first"), then_close=False)
    async with door(kept, hang_up, answers(ok(b"again"))) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", get(served.url))).body == b"first"
        assert (await outbound.send("acme", get(served.url))).body == b"again"
        assert outbound.trouble("acme") is None
    assert (len(served.requests), served.connections) == (3, 2)


async def test_it_is_sent_again_once_and_only_where_no_word_of_an_answer_came() -> None:
    kept = answers(ok(b"first"), then_close=False)
    for scripts, requests in (((kept, hang_up, hang_up), 3), ((kept, answers(b"HTTP/1.1 200")), 2)):
        async with door(*scripts) as served, caller(served.url) as outbound:
            await outbound.send("acme", get(served.url))
            assert isinstance(await failure(outbound, get(served.url)), AnswerLostError)
        assert len(served.requests) == requests


async def test_what_may_be_paid_for_is_never_sent_again() -> None:
    kept = answers(ok(b"first"), then_close=False)
    async with door(kept, hang_up, answers(ok(b"again"))) as served, caller(served.url) as outbound:
        await outbound.send("acme", post(served.url))
        assert isinstance(await failure(outbound, post(served.url)), AnswerLostError)
    assert len(served.requests) == 2


async def test_looks_at_a_server_that_closes_after_every_answer_all_get_theirs() -> None:
    async with door(answers(ok(b"{}"), then_close=True)) as served, caller(served.url) as outbound:
        for _ in range(40):
            assert (await outbound.send("acme", get(served.url))).status == 200


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection", "caf\u00e9", "a b"])
async def test_a_header_that_is_not_a_providers_to_set_was_not_sent(name: str) -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        fault = await failure(outbound, HttpRequest("GET", served.url, {name: "a"}))
    assert isinstance(fault, NotSentError)
    assert served.requests == []


@pytest.mark.parametrize(
    ("method", "body", "told"), [("GET", None, False), ("GET", b"", False), ("POST", None, True), ("POST", b"", True)]
)
async def test_the_length_of_a_body_is_told_where_there_may_be_one(
    method: str, body: bytes | None, told: bool
) -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        await outbound.send("acme", HttpRequest(method, served.url, {}, body))
    assert (b"\r\ncontent-length: 0\r\n" in served.requests[0].lower()) is told


async def test_what_comes_behind_an_answer_is_no_answer_to_the_next_request() -> None:
    scripts = [answers(ok(b"mine") + ok(b"forged"), then_close=False), answers(ok(b"yours"))]
    async with door(*scripts) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", post(served.url))).body == b"mine"
        assert (await outbound.send("acme", post(served.url))).body == b"yours"
    assert served.connections == 2


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(ok(b"mine") + b"nonsense", id="nonsense"),
        pytest.param(ok(b"mine", "Connection: close") + b"nonsense", id="nonsense behind the last answer"),
        pytest.param(answer(200, b"mine") + b"H", id="the first byte of another"),
        pytest.param(CHUNKED + b"Content-Length: 9\r\n\r\n4\r\nmine\r\n0\r\n\r\n", id="a length beside chunks"),
    ],
)
async def test_a_whole_answer_counts_whatever_else_comes_and_nothing_follows_it(first: bytes) -> None:
    scripts = [answers(first, then_close=False), answers(ok(b"yours"))]
    async with door(*scripts) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", post(served.url))).body == b"mine"
        assert (await outbound.send("acme", post(served.url))).body == b"yours"
    assert served.connections == 2


async def test_trailers_are_no_headers() -> None:
    script = answers(CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Encoding: gzip\r\nX-A: b\r\n\r\n", then_close=False)
    async with door(script) as served, caller(served.url) as outbound:
        for _ in range(2):
            got = await outbound.send("acme", post(served.url))
            assert (got.body, dict(got.headers)) == (b"{}", {"transfer-encoding": "chunked"})
    assert served.connections == 1


async def test_an_interim_answer_is_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"
    async with door(answers(interim + ok(b"{}"), then_close=False)) as served, caller(served.url) as outbound:
        for _ in range(2):
            got = await outbound.send("acme", post(served.url))
            assert (got.status, got.body, "x-hint" in got.headers) == (200, b"{}", False)
    assert served.connections == 1


@pytest.mark.parametrize("cut", [1, 9, 30, 60])
async def test_an_answer_may_come_in_pieces(cut: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(whole), cut):
            writer.write(whole[start : start + cut])
            await writer.drain()
            await asyncio.sleep(0)

    async with door(script) as served, caller(served.url) as outbound:
        got = await outbound.send("acme", post(served.url))
        assert (got.body, got.headers["x-a"]) == (b"abc", "b")
        assert (await outbound.send("acme", post(served.url))).body == b"abc"
    assert served.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    script = answers(b"HTTP/1.1 200 OK\r\n\r\n{}")
    async with door(script) as served, caller(served.url) as outbound:
        for _ in range(2):
            assert (await outbound.send("acme", post(served.url))).body == b"{}"
    assert served.connections == 2


async def test_a_megabyte_is_sent_and_received_whole() -> None:
    async def echo(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(served.requests[-1].partition(b"\r\n\r\n")[2]))
        await writer.drain()

    body = bytes(range(256)) * 16384
    async with door(echo) as served, caller(served.url) as outbound:
        assert (await outbound.send("acme", replace(post(served.url), body=body))).body == body


async def test_a_refusal_that_comes_before_the_whole_request_was_taken_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read no more than the head; the connection stays open."""
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer(413, b"too much"))
        await over.wait()
        writer.close()

    over = asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, caller(url) as outbound:
        for _ in range(2):
            # The second would wait behind what is left of the first, were it sent on the same connection.
            got = await outbound.send("acme", replace(post(url, timeout_seconds=60.0), body=bytes(16 * 1024 * 1024)))
            assert (got.status, got.body) == (413, b"too much")
        over.set()


async def test_many_requests_at_once_all_get_their_own_answer() -> None:
    async def echo(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(served.requests[-1].rpartition(b"\r\n\r\n")[2]))
        await writer.drain()

    async with door(echo) as served:
        limits = CallLimits(connections=6)
        async with caller(served.url, limits=limits) as outbound:
            bodies = [str(number).encode() for number in range(60)]
            sent = [outbound.send("acme", replace(post(served.url), body=body)) for body in bodies]
            got = await asyncio.gather(*sent)
    assert [one.body for one in got] == bodies
    assert served.connections <= 6


# --- what is certain not to have left -------------------------------------------------------------------------


async def test_an_address_that_is_not_allowed_was_not_called() -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url, allowed="") as outbound:
        assert isinstance(await failure(outbound, post(served.url)), NotSentError)
    assert served.connections == 0


async def test_a_name_without_an_address_was_not_called() -> None:
    wires = Wires()
    async with outbound_on(Names(), wires) as outbound:
        error = await failure(outbound, post("https://api.example"))
    assert isinstance(error, NotSentError)
    assert str(error) == "api.example: the name has no address"
    assert wires.connected == []


async def test_a_name_that_no_resolver_can_read_was_not_called() -> None:
    async with caller(allowed="") as outbound:
        label = "a" * 64
        assert isinstance(await failure(outbound, post(f"https://{label}.invalid")), NotSentError)


async def test_a_closed_port_was_not_called() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with caller(url) as outbound:
            error = await failure(outbound, post(url))
    assert isinstance(error, NotSentError)
    assert str(error) == "127.0.0.1: no connection"


@pytest.mark.parametrize(
    ("greeting", "timeout_seconds", "words"),
    [(b"220 smtp.example ready\r\n", 10.0, "TLS failed"), (None, 0.2, "took too long")],
)
async def test_without_tls_nothing_was_sent(greeting: bytes | None, timeout_seconds: float, words: str) -> None:
    ended = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeting is not None:
            writer.write(greeting)
        try:
            heard.append(await reader.read())
        except ConnectionResetError:
            pass
        finally:
            writer.close()
            ended.set()

    heard: list[bytes] = []
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, caller(url) as outbound:
        error = await failure(outbound, post(url, timeout_seconds=timeout_seconds))
        await ended.wait()
    assert isinstance(error, NotSentError)
    assert words in str(error)
    assert SECRET.encode() not in b"".join(heard)


async def test_a_request_that_waited_in_vain_for_a_free_connection_was_not_sent() -> None:
    async with door(stalls_after(b"")) as served:
        limits = CallLimits(connections=1, connect_seconds=0.1)
        async with caller(served.url, limits=limits) as outbound:
            first = asyncio.create_task(outbound.send("acme", post(served.url)))
            while not served.requests:
                await asyncio.sleep(0)
            error = await failure(outbound, post(served.url))
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
    assert isinstance(error, NotSentError)
    assert str(error) == "127.0.0.1: no connection became free in time"
    assert len(served.requests) == 1


@pytest.mark.parametrize("value", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\n", f"{SECRET}ü\u2028", "\x00"])
async def test_a_header_that_cannot_be_written_was_not_sent(value: str) -> None:
    async with door(answers(ok(b"{}"))) as served, caller(served.url) as outbound:
        error = await failure(outbound, HttpRequest("GET", served.url, {"Authorization": value}))
    assert isinstance(error, NotSentError)
    assert served.requests == []


async def test_a_url_that_is_none_was_not_called() -> None:
    async with caller() as outbound:
        assert isinstance(await failure(outbound, HttpRequest("GET", f"{SECRET} nonsense")), NotSentError)


# --- what may have arrived ------------------------------------------------------------------------------------

LOST: dict[str, Script] = {
    "closed without an answer": answers(b""),
    "reset without an answer": resets_after(b""),
    "closed in the head": answers(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "reset in the body": resets_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"),
    "a body shorter than announced": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"),
    "chunks without an end": answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"),
    "not HTTP at all": answers(b"220 smtp.example ready\r\n\r\n"),
    "two lengths": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"),
    "a head without end": repeats(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"x" * 4000 + b"\r\n"),
    "trailers without end": repeats(CHUNKED + b"\r\n2\r\n{}\r\n0\r\n", b"X-Filler: " + b"x" * 4000 + b"\r\n"),
    "a chunk's head without end": repeats(CHUNKED + b"\r\n2;", b"x" * 4000),
    "chunks of an encoding": answers(
        CHUNKED.replace(b"chunked", b"gzip, chunked") + b"\r\n2\r\n{}\r\n0\r\n\r\n", then_close=False
    ),
    "chunks of an encoding, in two headers": answers(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"
        + CHUNKED.partition(b"\r\n")[2]
        + b"\r\n2\r\n{}\r\n0\r\n\r\n",
        then_close=False,
    ),
    "gzip that nobody asked for": answers(ok(b"\x1f\x8b", "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("what", LOST)
async def test_an_answer_that_is_not_whole_is_lost(what: str) -> None:
    async with door(LOST[what]) as served, caller(served.url) as outbound:
        error = await failure(outbound, post(served.url))
    assert isinstance(error, AnswerLostError)
    assert str(error) != "127.0.0.1: took too long"
    assert len(served.requests) == 1, "a request that may have arrived is never repeated"


@pytest.mark.parametrize(
    "script",
    [
        stalls_after(b""),
        stalls_after(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12"),
        repeats(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x", pause_seconds=0.01),
        repeats(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n", pause_seconds=0.01),
    ],
    ids=["silence", "silence in the body", "a dripping body", "a dripping head"],
)
async def test_an_answer_that_is_not_there_in_time_is_lost(script: Script) -> None:
    async with door(script) as served, caller(served.url) as outbound:
        error = await failure(outbound, post(served.url, timeout_seconds=0.3))
    assert isinstance(error, AnswerLostError)
    assert str(error) == "127.0.0.1: took too long"


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (ok(b"x" * 1000), True),
        (ok(b"x" * 1001), False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1001, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n", True),
    ],
)
async def test_an_answer_over_the_limit_is_lost(data: bytes, whole: bool) -> None:
    async with door(answers(data)) as served:
        limits = CallLimits(answer_bytes=1000)
        async with caller(served.url, limits=limits) as outbound:
            if whole:
                assert (await outbound.send("acme", post(served.url))).body == b"x" * 1000
            else:
                assert isinstance(await failure(outbound, post(served.url)), AnswerLostError)


async def test_after_a_lost_answer_the_next_request_gets_its_own() -> None:
    scripts = [
        stalls_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nold"),
        answers(ok(b"new")),
    ]
    async with door(*scripts) as served, caller(served.url) as outbound:
        assert isinstance(await failure(outbound, post(served.url, timeout_seconds=0.2)), AnswerLostError)
        assert (await outbound.send("acme", post(served.url))).body == b"new"


# --- where connections go -------------------------------------------------------------------------------------


async def test_tls_is_asked_for_the_hosts_name_at_the_checked_address() -> None:
    names, wires = Names(), Wires({PUBLIC: ok(b"{}")})
    names.set("api.example", [PUBLIC])
    async with outbound_on(names, wires) as outbound:
        assert (await outbound.send("acme", post("https://api.example"))).status == 200
    assert wires.connected == [(PUBLIC, 443)]
    assert wires.wires[0].server_names == ["api.example"]
    assert b"\r\nHost: api.example\r\n" in wires.wires[0].written


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    names, wires = Names(), Wires({PUBLIC: ok(b"{}")})
    names.set("api.example", ["2606:4700:4700::1111", PUBLIC])
    async with outbound_on(names, wires) as outbound:
        assert (await outbound.send("acme", post("https://api.example"))).status == 200
    assert [address for address, _ in wires.connected] == ["2606:4700:4700::1111", PUBLIC]


async def test_one_private_address_condemns_the_host() -> None:
    names, wires = Names(), Wires({PUBLIC: ok(b"{}")})
    names.set("api.example", [PUBLIC, "10.0.0.1"])
    async with outbound_on(names, wires) as outbound:
        assert isinstance(await failure(outbound, post("https://api.example")), NotSentError)
    assert wires.connected == []


async def test_a_configured_private_provider_needs_its_entry() -> None:
    names, wires = Names(), Wires({"10.0.0.7": ok(b"{}")})
    names.set("sandbox", ["10.0.0.7"])
    url = "http://sandbox:9090"
    async with outbound_on(names, wires, provider_urls=[url]) as outbound:
        assert isinstance(await failure(outbound, post(url)), NotSentError)
    assert (wires.connected, names.asked) == ([], [])
    async with outbound_on(names, wires, provider_urls=[url], allowed="sandbox:9090") as outbound:
        assert (await outbound.send("acme", post(url))).status == 200


def test_a_provider_url_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        HttpOutbound(allowed=AllowedHosts(), provider_urls=["api.example"])


def test_the_library_still_has_the_place_where_our_pool_is_set() -> None:
    assert hasattr(httpx.AsyncHTTPTransport(), "_pool")


@pytest.mark.parametrize("status", [429, 503])
async def test_why_the_last_call_to_a_provider_came_to_nothing_is_remembered_until_one_succeeds(status: int) -> None:
    serving, failing = door(answers(ok(b"{}"))), door(answers(answer(status, b"")))
    async with serving as whole, failing as broken, caller(whole.url) as outbound:
        assert outbound.trouble("acme") is None
        await outbound.send("acme", post(broken.url))
        assert outbound.trouble("acme") == f"127.0.0.1: answered {status}"
        assert outbound.trouble("other") is None
        await outbound.send("acme", post(whole.url))
        assert outbound.trouble("acme") is None
