"""The whole installation as processes: Caddy with its own certificate, the service behind it, the sandbox outside."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.harness import Stack, free_port, running, wait_until
from tests.infra.tools import INFRA, tool

START_SECONDS = 30.0


@dataclass
class Proxied:
    """A stack whose public side and, under another name, private side are reached through Caddy.

    ``outside`` is a client on the public name, ``inside`` one on the name of the private side; both check the
    certificate.
    """

    stack: Stack
    outside: httpx.Client
    inside: httpx.Client
    log: Path

    def webhook_paths(self) -> list[str]:
        """Return the path of every callback URL that Runware was given, newest last."""
        urls = [entry["webhook_url"] for entry in self.stack.ledger() if entry["webhook_url"]]
        return [httpx.URL(url).path for url in urls]

    def words(self) -> str:
        """Return everything that Caddy said."""
        return self.log.read_text("utf-8", errors="replace")


@contextmanager
def proxied(folder: Path) -> Iterator[Proxied]:
    """Run all three for the length of the block."""
    caddy, port = tool("caddy"), free_port()
    url, api = f"https://localhost:{port}", "127.0.0.1"
    certificates = folder / "caddy/caddy/pki/authorities/local/root.crt"
    # Only callbacks are to bring results: looks of our own come long after the last test.
    settings = {"RECEIVER_PUBLIC_URL": url, "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "600"}
    with running(folder, serve=False, settings=settings) as stack:
        environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}},
            "XDG_DATA_HOME": str(folder / "caddy"),
            "XDG_CONFIG_HOME": str(folder / "caddy-config"),
            "PUBLIC_HOST": "localhost",
            "HTTPS_PORT": str(port),
            "HTTP_PORT": str(free_port()),
            "API_SITE": "Caddyfile.api",
            "API_HOST": api,
            "LOG_LEVEL": "DEBUG",
            "UPSTREAM": stack.service.url.partition("://")[2],
        }
        log = folder / "caddy.log"
        with log.open("wb") as words:
            child = subprocess.Popen(
                [caddy, "run", "--config", str(INFRA / "Caddyfile")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
            )
        try:
            wait_until(certificates.exists, START_SECONDS, "Caddy has made its certificates")
            stack.sandbox.kill()
            stack.sandbox.arguments += ["--ca-file", str(certificates)]
            stack.sandbox.start()
            stack.faults()
            stack.service.start()
            trust = ssl.create_default_context(cafile=certificates)
            with (
                httpx.Client(verify=trust, base_url=url, timeout=60) as outside,
                httpx.Client(verify=trust, base_url=f"https://{api}:{port}", timeout=60) as inside,
            ):
                wait_until(lambda: _answers(outside), START_SECONDS, "Caddy answers")
                yield Proxied(stack, outside, inside, log)
        finally:
            child.terminate()
            child.wait(60)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == httpx.codes.NOT_FOUND
    except httpx.TransportError:
        return False
