"""A wire between the service and a provider that a test can cut, or make swallow every answer."""

import re
import socket
import threading
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

State = Literal["open", "cut", "mute"]

_REQUEST = re.compile(rb"[A-Z]+ /")


class Relay:
    """A TCP relay on a port of its own.

    ``cut``: nothing listens, connections are refused. ``mute``: what is asked arrives, no answer comes back.
    ``asked``: the first line of every request that went through.
    ``most_asked``: a connection on which so many bytes were asked is held, until it is turned; ``held`` tells so.
    """

    def __init__(self) -> None:
        self._beyond = ("", 0)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._state: State = "cut"
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.asked: list[bytes] = []
        self.most_asked: int | None = None
        self.held = threading.Event()
        self._changed = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lead_to(self, url: str) -> None:
        """Open the wire to what listens at a URL on this machine."""
        parts = urlsplit(url)
        self._beyond = (parts.hostname or "", parts.port or 0)
        self.turn("open")

    def turn(self, state: State) -> None:
        """Change what happens to connections; those there are end, except that mute ones only fall silent."""
        self._state = state
        if state == "mute" and self._listening is not None:
            return
        self._end()
        if state != "cut":
            self._listening = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _end(self) -> None:
        listening, self._listening = self._listening, None
        for one in [*self._open, *([listening] if listening else [])]:
            # Shut down first: a thread that waits in a closed socket keeps it alive.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()
        self._changed.set()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(self._beyond)
                self._open |= {near, far}
                for source, target, answers in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass, args=(source, target, answers), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if not answers and _REQUEST.match(data):
                    self.asked.append(data.partition(b"\r\n")[0])
                if not answers and self.most_asked is not None and passed > self.most_asked:
                    self.held.set()
                    self._changed.wait()
                    break
                if not (answers and self._state == "mute"):
                    target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
