"""Questions to providers over real TLS, to a server whose certificate is made here."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from receiver.domain.errors import NotSentError
from receiver.domain.exchange import HttpRequest
from receiver.outbound import AllowedHosts, HttpOutbound, Network
from tests.outbound.door import ok
from tests.outbound.fakes import Names

NAME = "api.example"


def certificate(folder: Path) -> Path:
    """Write a certificate for the name, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def served(folder: Path, heard: list[bytes]) -> AsyncIterator[tuple[HttpOutbound, Names, int]]:
    """Answer every request over TLS with a body of 100 kB; each connection is noted as an empty request."""
    path = certificate(folder)
    handlers: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        heard.append(b"")
        try:
            while True:
                heard.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(ok(b"x" * 100_000))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            handlers.discard(task)
            writer.close()

    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(path)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=theirs)
    port, names = server.sockets[0].getsockname()[1], Names()
    network = Network(resolve=names, ssl_context=ssl.create_default_context(cafile=str(path)))
    outbound = HttpOutbound(allowed=AllowedHosts.parse("127.0.0.1"), provider_urls=(), network=network)
    try:
        async with server, outbound:
            yield outbound, names, port
    finally:
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def test_questions_share_a_connection_over_tls(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with served(tmp_path, heard) as (outbound, names, port):
        names.set(NAME, ["127.0.0.1"])
        for number in range(3):
            got = await outbound.send("acme", HttpRequest("GET", f"https://{NAME}:{port}/a?number={number}"))
            assert (got.status, len(got.body)) == (200, 100_000)
    connections, requests = heard.count(b""), [request.split(b"\r\n")[0] for request in heard if request]
    assert connections == 1
    assert requests == [b"GET /a?number=%d HTTP/1.1" % number for number in range(3)]


async def test_a_certificate_for_another_name_is_not_accepted_and_nothing_is_said(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with served(tmp_path, heard) as (outbound, names, port):
        names.set("other.example", ["127.0.0.1"])
        with pytest.raises(NotSentError, match=r"other\.example: the certificate was not accepted"):
            await outbound.send("acme", HttpRequest("GET", f"https://other.example:{port}/a"))
    assert not any(heard)
