"""Processes by role on one PostgreSQL: two take callbacks, two work, one serves the API; before the first two a door.

The door stands for a proxy: it leads each connection to a process that takes one, and refuses where there is none.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from receiver.bootstrap import new_keys
from receiver.drill.door import Door
from tests.harness import API_KEY, Process, Stack, free_port, running

ROLES = {
    "callbacks-1": "callbacks",
    "callbacks-2": "callbacks",
    "worker-1": "worker",
    "worker-2": "worker",
    "api": "api",
}


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
    shared = {
        "RECEIVER_DATABASE_URL": database_url,
        "RECEIVER_SIGNING_KEYS": new_keys()["signing_key"],
        "RECEIVER_API_KEYS": API_KEY,
        "RECEIVER_PUBLIC_URL": door.url,
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
