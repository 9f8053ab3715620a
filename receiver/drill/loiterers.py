"""Callers that hang about: half a message and then silence, or a few bytes at a time until it is whole."""

import json
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from receiver.drill.load import Load
from receiver.drill.sides import Sides

_STEP_SECONDS = 0.2
#: A slow caller takes so many steps for its message.
_STEPS = 20
_LOOK_SECONDS = 15.0
#: Of callbacks that were made before, so many to choose from are enough: the ledger of a long drill is large.
_MOST_KNOWN = 200
_HALF, _SLOW, _ANSWERED, _CUT = "half-open", "slow", "of these answered", "cut off by a kill or by us"
_PROMPT = "a slow waltz, one bar at a time"


@dataclass
class _Caller:
    connection: socket.socket
    rest: bytes
    #: Bytes a step; 0 once it has fallen silent.
    pace: int
    slow: bool
    said: bytes = b""


@dataclass
class Loiterers:
    """``each`` half-open and ``each`` slow callers at a time, of submits and of callbacks that were made before.

    ``met`` counts what became of them.
    """

    sides: Sides
    load: Load
    chance: random.Random
    each: int = 6
    met: Counter[str] = field(default_factory=Counter)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _known: list[tuple[str, bytes]] = field(default_factory=list)
    _callers: list[_Caller] = field(default_factory=list)
    _submits: int = 0

    def run(self) -> None:
        """Hang about until the stop, then let go of every connection."""
        looked = -_LOOK_SECONDS
        try:
            while not self._stopping.wait(_STEP_SECONDS):
                if time.monotonic() - looked > _LOOK_SECONDS and len(self._known) < _MOST_KNOWN:
                    looked, self._known = time.monotonic(), list(self._callbacks())
                self._fill()
                self._callers = [caller for caller in self._callers if self._goes_on(caller)]
        finally:
            for caller in self._callers:
                caller.connection.close()

    def stop(self) -> None:
        """Have ``run`` return."""
        self._stopping.set()

    def _fill(self) -> None:
        for slow in (False, True):
            for _ in range(self.each - sum(caller.slow is slow for caller in self._callers)):
                service, message = self._message()
                with suppress(OSError):
                    connection = socket.create_connection((service.hostname or "", service.port or 80), 1.0)
                    connection.setblocking(False)  # noqa: FBT003 - the name of the method says it
                    rest = message if slow else message[: len(message) // 2]
                    pace = max(1, len(message) // _STEPS) if slow else len(rest)
                    self._callers.append(_Caller(connection, rest, pace, slow))
                    self.met[_SLOW if slow else _HALF] += 1

    def _message(self) -> tuple[SplitResult, bytes]:
        """Return one whole request, and whom it is for.

        It is a callback that was made before, or a submit under a key of its own.
        """
        if self._known and self.chance.random() < 0.5:  # noqa: PLR2004 - one as often as the other
            service = urlsplit(self.chance.choice(self.sides.doors or self.sides.services))
            path, body = self.chance.choice(self._known)
            head = f"POST {path} HTTP/1.1\r\nHost: {service.netloc}\r\n"
        else:
            service = urlsplit(self.chance.choice(self.sides.services))
            self._submits += 1
            task = {"provider": "runware", "prompt": _PROMPT, "reference_audio": "https://files.example.org/a.mp3"}
            body = json.dumps(task).encode()
            head = (
                f"POST /v1/tasks HTTP/1.1\r\nHost: {service.netloc}\r\n"
                f"Authorization: {self.sides.headers['Authorization']}\r\nIdempotency-Key: slow-{self._submits}\r\n"
            )
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return service, head.encode("ascii") + body

    def _callbacks(self) -> Iterator[tuple[str, bytes]]:
        """Yield the path and the body of callbacks that were made: told again, they must change nothing."""
        for entry in self.sides.ledger():
            for call in entry["callbacks"][:1]:
                if "body_base64" not in call:
                    yield urlsplit(entry["webhook_url"]).path, call["body"].encode()

    def _goes_on(self, caller: _Caller) -> bool:
        """Do one step; False once the connection is over."""
        try:
            if caller.rest:
                sent = caller.connection.send(caller.rest[: caller.pace])
                caller.rest = caller.rest[sent:]
            ready, _, _ = select.select([caller.connection], [], [], 0)
            if not ready:
                return True
            piece = caller.connection.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        caller.said += piece
        if piece:
            return True
        caller.connection.close()
        self._over(caller)
        return False

    def _over(self, caller: _Caller) -> None:
        """Count an answer or the want of one; a task that was acknowledged to a slow caller counts like any other."""
        head, _, body = caller.said.partition(b"\r\n\r\n")
        status = head.split(b" ")[1].decode("ascii", "replace") if head.count(b" ") > 1 else ""
        if status == "202":
            with suppress(ValueError, KeyError):
                self.load.acknowledged.append(json.loads(body)["id"])
        if caller.slow:
            self.met[_ANSWERED if status in {"200", "202"} else _CUT] += 1


def opened(met: Counter[str]) -> int:
    """Return how many there were."""
    return met[_HALF] + met[_SLOW]


def said(met: Counter[str]) -> str:
    """Return what became of them in words."""
    return ", ".join(f"{met[what]} {what}" for what in (_HALF, _SLOW, _ANSWERED, _CUT))
