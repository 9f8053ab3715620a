"""The proxy before the processes that take callbacks: it leads each connection to one that is there."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle

from receiver.drill.processes import HOST

_CONNECT_SECONDS = 5.0
_PIECE = 65536


class Door:
    """A TCP relay to whichever of some processes takes a connection, by turns; it refuses where there is none."""

    def __init__(self, ports: Sequence[int]) -> None:
        """Listen on a port of its own."""
        self._ports = ports
        self._turns = cycle(range(len(ports)))
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        """Take no further connection."""
        with suppress(OSError):
            # A thread that waits in a closed socket keeps it alive.
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        first = next(self._turns)
        for port in (*self._ports[first:], *self._ports[:first]):
            with suppress(OSError):
                far = socket.create_connection((HOST, port), timeout=_CONNECT_SECONDS)
                break
        else:
            near.close()
            return
        with near, far:
            answers = threading.Thread(target=_pass, args=(far, near), daemon=True)
            answers.start()
            _pass(near, far)
            answers.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        source.settimeout(None)
        while data := source.recv(_PIECE):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
