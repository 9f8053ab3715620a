"""Both providers as one that never ends a generation: `python -m tests.bench.peers.pending PORT EVERY ANSWER`.

``EVERY`` is how many seconds after an answer each task is to be asked about again, ``ANSWER`` how many an answer
takes. It keeps the book of who is late: `GET /begin` opens it, `GET /told` closes it and tells.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import cast

import uvloop

#: How a question about one task begins, and how one about many does.
_ALONE, _MANY = b"GET /v2/generate/audio?generation_id=", b"POST /v1 "
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_PENDING = b'{"id":"%b","status":"generating"}'


class Book:
    """When each task was told of last; how late, within the book's time, the looks came that were due in it.

    A look is due so long after the answer before it left us. What the service takes to read that answer and to send
    the next question counts as lateness too, so what is told is no less than what the service could know.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._told: dict[str, dict[bytes, float]] = {"aimlapi": {}, "runware": {}}
        self._late: dict[str, list[float]] = {}
        self._calls = 0
        self._looks: dict[str, int] = {}
        self._begun = float("inf")

    def begin(self) -> None:
        self._late = {name: [] for name in self._told}
        self._looks = dict.fromkeys(self._told, 0)
        self._calls, self._begun = 0, time.monotonic()

    def asked(self, provider: str, names: list[bytes], leaves_at: float) -> None:
        """Note a question, and when its answer is to leave."""
        now, told = time.monotonic(), self._told[provider]
        self._calls += 1
        if self._looks:
            self._looks[provider] += len(names)
        for name in names:
            due = told.get(name, 0.0) + self._every
            if due >= self._begun:
                self._late[provider].append(max(0.0, now - due))
            told[name] = leaves_at

    def close(self) -> bytes:
        """Tell how late each look was; one that was due and has not come is as late as it is by now, at least."""
        now = time.monotonic()
        seconds, self._begun = now - self._begun, float("inf")
        late = {
            provider: {
                "came": self._late[provider],
                "missing": [now - due for at in told.values() if now > (due := at + self._every)],
            }
            for provider, told in self._told.items()
        }
        known = sum(len(told) for told in self._told.values())
        said = {"late": late, "calls": self._calls, "looks": self._looks, "known": known, "seconds": seconds}
        return json.dumps(said).encode()


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as one client of ours speaks."""

    def __init__(self, book: Book, takes: float, later: Callable[..., object]) -> None:
        self._book, self._takes, self._later = book, takes, later
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(_END)) >= 0:
            head, begin = self._read[:end].lower(), end + len(_END)
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._read) < begin + length:
                return
            self._answer(self._read[:end], self._read[begin : begin + length])
            self._read = self._read[begin + length :]

    def _answer(self, head: bytes, body: bytes) -> None:
        leaves_at = time.monotonic() + self._takes
        if head.startswith(_ALONE):
            name = head[len(_ALONE) : head.index(b" ", len(_ALONE))]
            self._book.asked("aimlapi", [name], leaves_at)
            self._later(self._takes, self._send, _PENDING % name)
        elif head.startswith(_MANY):
            names = [task["taskUUID"] for task in json.loads(body)]
            self._book.asked("runware", [name.encode() for name in names], leaves_at)
            items = [{"taskType": "audioInference", "taskUUID": name, "status": "processing"} for name in names]
            self._later(self._takes, self._send, json.dumps({"data": items}).encode())
        elif head.startswith(b"GET /begin "):
            self._book.begin()
            self._send(b"{}")
        elif head.startswith(b"GET /told "):
            self._send(self._book.close())
        else:
            self._send(b"{}")

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


async def _serve(port: int, book: Book, takes: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(book, takes, loop.call_later), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve until SIGTERM."""
    port, every, takes = sys.argv[-3:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(port), Book(float(every)), float(takes)))


if __name__ == "__main__":
    main()
