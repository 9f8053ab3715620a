"""Downloads of media: the bytes as they are, or no file and the reason."""

import asyncio
import hashlib
import resource
import stat
from pathlib import Path

import pytest

from receiver.domain.errors import MediaError, MediaInterruptedError, MediaRefusedError
from receiver.outbound import AllowedHosts, CallLimits, HttpOutbound, Network
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
from tests.outbound.fakes import PUBLIC, SSL_CONTEXT, Names, Wires, outbound_on

# More than one block of the file writer.
AUDIO = bytes(range(256)) * 10_000
SIGNATURE = "OSSAccessKeyId=a%2Fb&Signature=very%3dsecret"


async def fetched(outbound: HttpOutbound, link: str, into: Path, *, seconds: float = 10.0) -> bytes:
    """What a download leaves on the disk; what is reported about it is true."""
    got = await outbound.fetch(link, into, max_bytes=len(AUDIO), timeout_seconds=seconds)
    data = into.read_bytes()
    assert (got.path, got.size, got.sha256) == (into, len(data), hashlib.sha256(data).hexdigest())
    return data


async def failure(outbound: HttpOutbound, link: str, into: Path, *, seconds: float = 10.0) -> MediaError:
    """How a download fails; whatever it is, no file is left and no signature is told."""
    with pytest.raises(MediaError) as caught:
        await outbound.fetch(link, into, max_bytes=len(AUDIO), timeout_seconds=seconds)
    assert list(into.parent.iterdir()) == []
    assert "secret" not in repr(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


async def test_media_arrive_byte_for_byte(tmp_path: Path) -> None:
    async with door(answers(ok(AUDIO))) as served, caller(served.url) as outbound:
        assert await fetched(outbound, f"{served.url}/a.mp3", tmp_path / "x") == AUDIO
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "target",
    [
        f"/songs/2026%2F04%2f23/a.mp3?Expires=1&{SIGNATURE}",
        "/a/../b/./c.mp3?x",
        "/a;b=c'd\"e?[f]={g}|^`",
        "/?",
    ],
)
async def test_a_signed_link_is_asked_for_as_it_was_given(tmp_path: Path, target: str) -> None:
    async with door(answers(ok(b"x"))) as served, caller(served.url) as outbound:
        await fetched(outbound, f"{served.url}{target}", tmp_path / "x")
    assert served.targets == [target.encode()]


async def test_media_are_asked_for_without_encoding_and_without_anything_of_ours(tmp_path: Path) -> None:
    async with door(answers(ok(b"x"))) as served, caller(served.url) as outbound:
        await fetched(outbound, f"{served.url}/a", tmp_path / "x")
    names = {line.partition(b":")[0].lower() for line in served.requests[0].split(b"\r\n")[1:] if line}
    assert b"accept-encoding: identity" in served.requests[0].lower()
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ],
    ids=["chunked", "until the end", "HTTP/1.0", "identity", "early hints", "length beside chunks"],
)
async def test_every_framing_of_a_body_is_read(tmp_path: Path, data: bytes) -> None:
    async with door(answers(data)) as served, caller(served.url) as outbound:
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == b"abcde"


async def test_of_a_body_that_is_longer_than_announced_no_more_is_taken(tmp_path: Path) -> None:
    half = len(AUDIO) // 2
    longer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % half + AUDIO
    # What is left is not taken for the answer to the next request either.
    async with door(answers(longer), answers(ok(b"abcde"))) as served, caller(served.url) as outbound:
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == AUDIO[:half]
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "y") == b"abcde"


async def test_many_small_pieces_are_one_file(tmp_path: Path) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in AUDIO[:2_000])
    small = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with door(answers(small)) as served, caller(served.url) as outbound:
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == AUDIO[:2_000]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_byte_for_byte(tmp_path: Path, status: int) -> None:
    async with door(answers(ok(AUDIO))) as goal:
        location = f"{goal.url}/x%2fy?{SIGNATURE}"
        async with door(answers(redirect(location, status))) as served, caller(served.url) as outbound:
            assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == AUDIO
    assert goal.targets == [f"/x%2fy?{SIGNATURE}".encode()]


async def test_a_third_redirect_is_followed_and_a_fourth_is_not(tmp_path: Path) -> None:
    hops = [answers(redirect(f"/{number}")) for number in range(3)]
    async with door(*hops, answers(ok(b"x"))) as served, caller(served.url) as outbound:
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == b"x"
        (tmp_path / "x").unlink()
    assert served.targets == [b"/a", b"/0", b"/1", b"/2"]
    async with door(answers(redirect("/again"))) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a?{SIGNATURE}", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)
    assert len(served.requests) == 4


# --- refused: another try cannot help -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [202, 204, 206, 300, 304, 305, 400, 401, 403, 404, 410, 416, 451])
async def test_a_status_that_is_no_media_is_refused(tmp_path: Path, status: int) -> None:
    data = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    async with door(answers(data)) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a?{SIGNATURE}", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)
    assert str(error) == f"127.0.0.1: answered {status}"


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "zstd"])
async def test_an_encoded_body_is_refused_unread(tmp_path: Path, encoding: str) -> None:
    script = answers(ok(b"\x1f\x8b", f"Content-Encoding: {encoding}"))
    async with door(script) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)


TOO_LARGE: dict[str, Script] = {
    "announced": stalls_after(f"HTTP/1.1 200 OK\r\nContent-Length: {len(AUDIO) + 1}\r\n\r\n".encode()),
    "endless": repeats(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
    "endless chunks": repeats(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"
    ),
    "one byte over": answers(b"HTTP/1.1 200 OK\r\n\r\n" + AUDIO + b"x"),
}


@pytest.mark.parametrize("how", TOO_LARGE)
async def test_a_body_over_the_limit_is_refused(tmp_path: Path, how: str) -> None:
    async with door(TOO_LARGE[how]) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)
    assert str(error) == f"127.0.0.1: sent more than {len(AUDIO)} bytes"


# --- interrupted: another try may help ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_status_that_may_pass_is_an_interruption(tmp_path: Path, status: int) -> None:
    async with door(answers(answer(status, b"later"))) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a?{SIGNATURE}", tmp_path / "x")
    assert isinstance(error, MediaInterruptedError)
    assert str(error) == f"127.0.0.1: answered {status}"


BROKEN: dict[str, Script] = {
    "closed without an answer": answers(b""),
    "reset without an answer": resets_after(b""),
    "closed in the body": answers(ok(AUDIO)[:-1]),
    "closed half-way": answers(ok(AUDIO)[: len(AUDIO) // 2]),
    "reset in the body": resets_after(ok(AUDIO)[:-1]),
    "chunks without an end": answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    "a chunk cut short": answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"),
    "not HTTP": answers(b"ICY 200 OK\r\n\r\n"),
    "a length that is none": answers(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_body_that_breaks_off_is_an_interruption(tmp_path: Path, how: str) -> None:
    async with door(BROKEN[how]) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a?{SIGNATURE}", tmp_path / "x")
    assert isinstance(error, MediaInterruptedError)


@pytest.mark.parametrize(
    "script",
    [
        stalls_after(b""),
        stalls_after(ok(AUDIO)[:-1]),
        repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"x", pause_seconds=0.01),
    ],
    ids=["silence", "silence before the end", "dripping"],
)
async def test_the_deadline_covers_the_whole_download(tmp_path: Path, script: Script) -> None:
    async with door(script) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a", tmp_path / "x", seconds=0.3)
    assert isinstance(error, MediaInterruptedError)
    assert str(error) == "127.0.0.1: took too long"


async def test_the_deadline_is_one_for_all_hops(tmp_path: Path) -> None:
    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(redirect("/again"))

    async with door(slowly) as served, caller(served.url) as outbound:
        error = await failure(outbound, f"{served.url}/a", tmp_path / "x", seconds=0.3)
    assert isinstance(error, MediaInterruptedError)


async def test_media_that_stop_flowing_are_given_up_before_the_deadline(tmp_path: Path) -> None:
    async with door(stalls_after(ok(AUDIO)[:-1])) as served:
        limits = CallLimits(silence_seconds=0.1)
        async with caller(allowed="media=127.0.0.1", limits=limits) as outbound:
            assert isinstance(await failure(outbound, f"{served.url}/a", tmp_path / "x"), MediaInterruptedError)


async def test_a_name_without_an_address_is_an_interruption(tmp_path: Path) -> None:
    wires = Wires()
    async with outbound_on(Names(), wires) as outbound:
        error = await failure(outbound, f"https://cdn.example/a?{SIGNATURE}", tmp_path / "x")
    assert isinstance(error, MediaInterruptedError)
    assert str(error) == "cdn.example: the name has no address"


async def test_after_a_download_broke_off_the_next_one_is_whole(tmp_path: Path) -> None:
    async with door(answers(ok(AUDIO)[:-1]), answers(ok(AUDIO))) as served, caller(served.url) as outbound:
        await failure(outbound, f"{served.url}/a", tmp_path / "x")
        assert await fetched(outbound, f"{served.url}/a", tmp_path / "x") == AUDIO


# --- the file -------------------------------------------------------------------------------------------------


async def test_a_cancelled_download_leaves_no_file(tmp_path: Path) -> None:
    async with door(stalls_after(ok(AUDIO)[:-1])) as served, caller(served.url) as outbound:
        fetching = outbound.fetch(f"{served.url}/a", tmp_path / "x", max_bytes=len(AUDIO), timeout_seconds=10)
        download = asyncio.create_task(fetching)
        while not (tmp_path / "x").exists():
            await asyncio.sleep(0.001)
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
    assert list(tmp_path.iterdir()) == []


async def test_a_download_cancelled_at_any_moment_leaves_a_finished_file_or_none(tmp_path: Path) -> None:
    into = tmp_path / "x"
    async with door(answers(ok(AUDIO[:5000]))) as served, caller(served.url) as outbound:
        for turns in range(0, 120, 3):
            fetching = outbound.fetch(f"{served.url}/a", into, max_bytes=len(AUDIO), timeout_seconds=10)
            download = asyncio.create_task(fetching)
            for _ in range(turns):
                await asyncio.sleep(0)
            download.cancel()
            await asyncio.wait([download])
            assert into.exists() == (not download.cancelled())
            into.unlink(missing_ok=True)


async def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    async with door(answers(ok(AUDIO))) as served, caller(served.url) as outbound:
        with pytest.raises(MediaInterruptedError, match="our disk"):
            await outbound.fetch(f"{served.url}/a", tmp_path / "x", max_bytes=len(AUDIO), timeout_seconds=10)
    assert (tmp_path / "x").read_bytes() == b"mine"


async def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "target")
    async with door(answers(ok(AUDIO))) as served, caller(served.url) as outbound:
        with pytest.raises(MediaInterruptedError, match="our disk"):
            await outbound.fetch(f"{served.url}/a", tmp_path / "x", max_bytes=len(AUDIO), timeout_seconds=10)
    assert not (tmp_path / "target").exists()


async def test_a_disk_that_takes_no_more_is_an_interruption(tmp_path: Path) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with door(answers(ok(AUDIO))) as served, caller(served.url) as outbound:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(AUDIO) // 2, unlimited[1]))
        try:
            error = await failure(outbound, f"{served.url}/a", tmp_path / "x")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert isinstance(error, MediaInterruptedError)
    assert str(error) == "our disk: File too large"


# --- L9: addresses that must not be fetched -------------------------------------------------------------------

FORBIDDEN_HOSTS = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.0.1",
    "224.0.0.251",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
]
# Spellings that only the operating system understands; one that it does not understand has no address.
SPELLINGS = [
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "localhost",
    "LOCALHOST.",
    "%6cocalhost",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
]
NAMED = [
    "0.0.0.0",
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "fe80::1%eth0",
]


@pytest.mark.parametrize("host", [*FORBIDDEN_HOSTS, *SPELLINGS])
async def test_a_forbidden_address_is_never_connected_to(tmp_path: Path, host: str) -> None:
    wires = Wires()
    network = Network(backend=wires, ssl_context=SSL_CONTEXT)
    async with HttpOutbound(allowed=AllowedHosts(), provider_urls=[], network=network) as outbound:
        for form in ("https://{}/a", "http://{}/a", "https://{}:8443/a", "http://{}:443/a"):
            error = await failure(outbound, form.format(host), tmp_path / "x")
            assert isinstance(error, MediaRefusedError) or host in SPELLINGS
    assert wires.connected == []


@pytest.mark.parametrize("address", NAMED)
async def test_a_name_for_a_forbidden_address_is_never_connected_to(tmp_path: Path, address: str) -> None:
    for addresses in ([address], [PUBLIC, address]):
        names, wires = Names(), Wires()
        names.set("cdn.example", addresses)
        async with outbound_on(names, wires) as outbound:
            error = await failure(outbound, f"https://cdn.example/a?{SIGNATURE}", tmp_path / "x")
        assert str(error) == "cdn.example: the address is not public"
        assert isinstance(error, MediaRefusedError)
        assert wires.connected == []


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_redirect_to_a_forbidden_address_is_not_followed(tmp_path: Path, host: str, scheme: str) -> None:
    names, wires = Names(), Wires({PUBLIC: redirect(f"{scheme}://{host}/a?{SIGNATURE}")})
    names.set("cdn.example", [PUBLIC])
    async with outbound_on(names, wires) as outbound:
        error = await failure(outbound, "https://cdn.example/a", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)
    assert wires.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "location",
    [
        "http://cdn.example/a",
        "https://cdn.example:8443/a",
        "https://user:secret@cdn.example/a",
        "ftp://cdn.example/a",
        "file:///etc/passwd",
        "//[nonsense",
        "gopher://127.0.0.1:6379/_FLUSHALL",
    ],
)
async def test_a_redirect_away_from_https_is_not_followed(tmp_path: Path, location: str) -> None:
    names, wires = Names(), Wires({PUBLIC: redirect(location)})
    names.set("cdn.example", [PUBLIC])
    async with outbound_on(names, wires) as outbound:
        error = await failure(outbound, "https://cdn.example/a", tmp_path / "x")
    assert isinstance(error, MediaRefusedError)
    assert wires.connected == [(PUBLIC, 443)]


async def test_a_name_that_changes_after_the_check_gains_nothing(tmp_path: Path) -> None:
    names, wires = Names(), Wires({PUBLIC: ok(b"public"), "127.0.0.1": ok(b"private")})
    names.set("cdn.example", [PUBLIC], ["127.0.0.1"])
    async with outbound_on(names, wires) as outbound:
        assert await fetched(outbound, "https://cdn.example/a", tmp_path / "x") == b"public"
    assert (names.asked, wires.connected) == (["cdn.example"], [(PUBLIC, 443)])
    (tmp_path / "x").unlink()
    async with outbound_on(names, wires) as outbound:
        assert isinstance(await failure(outbound, "https://cdn.example/a", tmp_path / "x"), MediaRefusedError)
    assert wires.connected == [(PUBLIC, 443)]


async def test_the_real_network_is_not_touched_for_a_forbidden_host(tmp_path: Path) -> None:
    async with door(answers(ok(AUDIO))) as served, caller(allowed="") as outbound:
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            await failure(outbound, f"http://{host}:{served.port}/a", tmp_path / "x")
            await failure(outbound, f"https://{host}:{served.port}/a", tmp_path / "x")
    assert served.connections == 0


async def test_an_allowed_provider_serves_its_own_media_and_no_others(tmp_path: Path) -> None:
    async with door(answers(ok(AUDIO))) as sandbox, door(answers(ok(AUDIO))) as stranger:
        allowed = f"127.0.0.1:{sandbox.port}"
        async with caller(sandbox.url, allowed=allowed) as outbound:
            assert await fetched(outbound, f"{sandbox.url}/a", tmp_path / "x") == AUDIO
            (tmp_path / "x").unlink()
            assert isinstance(await failure(outbound, f"{stranger.url}/a", tmp_path / "x"), MediaRefusedError)
        async with caller("https://api.example", allowed=allowed) as outbound:
            assert isinstance(await failure(outbound, f"{sandbox.url}/a", tmp_path / "x"), MediaRefusedError)
    assert (sandbox.connections, stranger.connections) == (1, 0)
