"""The user's application: a real HTTP server on loopback that notes what it is told and answers from a script."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from receiver.sdk import Notification, verify_notification
from tests.harness import wait_until


@dataclass(frozen=True, slots=True)
class Post:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, *secrets: str) -> Notification:
        """What it tells, once a client library of ours has believed it."""
        return verify_notification(self.body, self.headers, list(secrets))


#: Answers one request on its connection, which is closed afterwards.
Script = Callable[[socket.socket], None]


@dataclass
class Application:
    """Answers with ``scripts`` in turn, the last one for ever."""

    scripts: list[Script]
    posts: list[Post] = field(default_factory=list)
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def told(self, *types: str) -> list[Post]:
        """What came of these types, whatever was answered."""
        return [post for post in self.posts if not types or _kind(post) in types]

    def wait_for(self, count: int, *types: str, seconds: float = 60) -> list[Post]:
        wait_until(lambda: len(self.told(*types)) >= count, seconds, f"{count} of {types} arrived")
        return self.told(*types)

    def serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            head, _, body = _until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(65536)
            with self._lock:
                self.posts.append(Post(first.split(" ")[1], headers, body, time.monotonic()))
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            script(connection)


def _kind(post: Post) -> str:
    return post.body[9:].split(b'"')[0].decode()


def _until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    return data


def says(status: int, body: bytes = b"", *headers: str) -> Script:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]

    def script(connection: socket.socket) -> None:
        connection.sendall("\r\n".join(lines).encode() + body)

    return script


def hangs(connection: socket.socket) -> None:
    """Answer nothing until the other side leaves."""
    connection.recv(1)


def breaks_off(connection: socket.socket) -> None:
    """Begin a head, then close."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def resets_amid_body(connection: socket.socket) -> None:
    """A 200, then RST amid its body."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
    reset(connection)


def never_ends(connection: socket.socket) -> None:
    """A 200 with a body without end, said to be packed."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            connection.sendall(b"4000\r\n" + b"\x1f\x8b" * 0x2000 + b"\r\n")
    except OSError:
        pass


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def application(*scripts: Script) -> Iterator[Application]:
    """Serve for the length of the block."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    served = Application(list(scripts) or [says(200)], port=listening.getsockname()[1])
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(served, connection), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def _quietly(served: Application, connection: socket.socket) -> None:
    with suppress(OSError, ValueError):
        served.serve(connection)


def registered(stack: Any, app: Application, **fields: object) -> dict[str, Any]:  # noqa: ANN401 - a Stack
    """Register an application with a service."""
    answer = stack.post("/v1/endpoints", {"url": app.url, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
