"""Processes by role on one PostgreSQL: two take callbacks, two work, one serves the API; before the first two a door.

The door stands for a proxy: it leads each connection to a process that takes one, and refuses where there is none.
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from receiver.bootstrap import new_keys
from tests.harness import API_KEY, Process, Stack, free_port, running

ROLES = {
    "callbacks-1": "callbacks",
    "callbacks-2": "callbacks",
    "worker-1": "worker",
    "worker-2": "worker",
    "api": "api",
}


class Door:
    """A TCP relay to whichever of some processes takes a connection, by turns."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._turns = cycle(range(len(ports)))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
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
                far = socket.create_connection(("127.0.0.1", port), timeout=5)
                break
        else:
            near.close()
            return
        with near, far:
            answers = threading.Thread(target=self._pass, args=(far, near), daemon=True)
            answers.start()
            self._pass(near, far)
            answers.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            source.settimeout(None)
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@dataclass
class Replicas:
    """All processes by name; ``stack`` speaks to the one that serves the API."""

    stack: Stack
    processes: Mapping[str, Process]

    def start(self, *names: str, **settings: str) -> None:
        """Start some at once, with settings that differ from before."""
        for name in names:
            process = self.processes[name]
            process.environment = {**process.environment, **settings}
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: self.processes[name].start(), names))

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()

    def words(self) -> str:
        """Return what all of them have said."""
        return "\n".join(process.words() for process in self.processes.values())


@contextmanager
def replicas(folder: Path, database_url: str, *, settings: Mapping[str, str]) -> Iterator[Replicas]:
    """Run the sandbox and, for the length of the block, whichever of the processes are started in it."""
    ports = {name: free_port() for name in ROLES}
    door = Door([port for name, port in ports.items() if ROLES[name] == "callbacks"])
    url = f"http://127.0.0.1:{door.port}"
    shared = {
        "RECEIVER_DATABASE_URL": database_url,
        "RECEIVER_SIGNING_KEYS": new_keys()["signing_key"],
        "RECEIVER_API_KEYS": API_KEY,
        "RECEIVER_PUBLIC_URL": url,
        **settings,
    }
    with running(folder, serve=False, settings=shared) as stack:
        hosts = f"{stack.service.environment['RECEIVER_ALLOWED_PRIVATE_HOSTS']},127.0.0.1:{door.port}"
        environment = {**stack.service.environment, "RECEIVER_ALLOWED_PRIVATE_HOSTS": hosts}
        processes = {
            name: replace(
                stack.service,
                arguments=["serve", "--host", "127.0.0.1", "--port", str(ports[name]), "--role", role],
                environment=environment,
                log=folder / f"{name}.log",
                url=f"http://127.0.0.1:{ports[name]}",
            )
            for name, role in ROLES.items()
        }
        stack.service = processes["api"]
        try:
            yield Replicas(stack, processes)
        finally:
            for process in processes.values():
                process.kill()
            door.close()
