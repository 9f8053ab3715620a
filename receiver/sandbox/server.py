"""Serves the sandbox with uvicorn: ready when it listens, and a stop that takes a moment whatever is in flight."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.sandbox.app import app_of
from receiver.sandbox.config import SandboxConfig
from receiver.sandbox.state import State, new_state
from receiver.sandbox.wire import CONNECTION, WIRE

_DRAIN_SECONDS = 0.4
_GRACE_SECONDS = 2
_BACKLOG = 2048


class _Protocol(HttpToolsProtocol):
    """HTTP whose requests may break off their own connection, or write past what they promised."""

    def on_message_begin(self) -> None:
        """Begin a request with the means to end its connection, and to write to it as it likes."""
        super().on_message_begin()
        self.scope["extensions"] = {
            CONNECTION: {"abort": self.transport.abort, "close": self.transport.close},
            WIRE: {"write": self.transport.write},
        }


class _Server(uvicorn.Server):
    """uvicorn that tells the sandbox when it begins to stop, and returns from a signal instead of raising it anew."""

    def __init__(self, config: uvicorn.Config, state: State, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._state = state
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say that requests are answered from now on."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let everything that waits or streams end itself; cut whatever has not after a moment; then stop."""
        self._state.drain.set()
        cut = asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self._cut)
        await super().shutdown(sockets)
        cut.cancel()

    def _cut(self) -> None:
        """Break off connections whose other side neither reads nor finishes its request."""
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, _Protocol):
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM while serving."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def run(
    host: str = "127.0.0.1",
    port: int = 9090,
    config: SandboxConfig | None = None,
    ready: Callable[[str], None] | None = None,
    *,
    base_url: str | None = None,
    listener: socket.socket | None = None,
) -> None:
    """Serve the sandbox until cancelled, or until SIGINT or SIGTERM arrives; then return.

    Port 0 takes a free one. `ready` is called once with the URL when requests are answered. `base_url` is the
    start of media links where others reach the sandbox under another name (containers); else it is what it listens
    on. `listener` is a bound socket to serve on instead of host and port; it is closed at the end. Raises OSError
    when the address can not be taken.
    """
    bound = listener or bind(host, port)
    url = _url_of(bound, host)
    state = new_state(config or SandboxConfig(), base_url or url)
    settings = uvicorn.Config(
        app_of(state),
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=_BACKLOG,
    )
    server = _Server(settings, state, lambda: None if ready is None else ready(url))
    await _serve(server, bound)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket, for IPv6 when the host is such an address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on for accepted connections: 40 ms more for each answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


async def _serve(server: _Server, bound: socket.socket) -> None:
    """Serve until told to stop; when cancelled, stop just as cleanly before the cancellation goes on."""
    stopped = anyio.Event()

    async def serve() -> None:
        with anyio.CancelScope(shield=True):
            await server.serve(sockets=[bound])
        stopped.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        try:
            await stopped.wait()
        finally:
            server.should_exit = True


def _url_of(bound: socket.socket, host: str) -> str:
    """Return the URL of a bound socket; one that listens everywhere is reached over loopback."""
    address, port = bound.getsockname()[:2]
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised here, bound to only when asked for
    name = everywhere.get(address, host if host == "localhost" else address)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
