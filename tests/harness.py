"""Starts the sandbox and the service as real processes, talks to them over sockets, and draws up the balance."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from receiver.drill import processes
from receiver.drill.balance import TERMINAL, Balance, Books, reckon
from receiver.drill.play import PROMPT, REFERENCE
from receiver.drill.processes import NotInTimeError, Process, free_port
from receiver.drill.sides import LEASE_SECONDS, Sides, read_books

__all__ = [
    "API_KEY",
    "PROMPT",
    "REFERENCE",
    "TERMINAL",
    "Books",
    "Process",
    "Stack",
    "balance",
    "basic",
    "free_port",
    "read_books",
    "reckon",
    "running",
    "wait_until",
]

API_KEY = "tests:0123456789abcdef0123456789abcdef"
#: A state that has to come is waited for at least so long: only a failure ever waits to the end.
PATIENCE_SECONDS = 120.0


def wait_until(is_so: Callable[[], bool], seconds: float, what: str, *, every_seconds: float = 0.05) -> None:
    """Wait for a condition, with the patience that a machine busy with others takes. Raises NotInTimeError."""
    processes.wait_until(is_so, max(seconds, PATIENCE_SECONDS), what, every_seconds=every_seconds)


@dataclass
class Stack:
    """A sandbox and a service on one folder."""

    folder: Path
    sandbox: Process
    service: Process
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def submit(self, provider: str, **fields: object) -> dict[str, Any]:
        """Submit and return the task of the 202."""
        answer = self.post("/v1/tasks", {**basic(provider), **fields})
        assert answer.status_code == 202, answer.text
        task: dict[str, Any] = answer.json()
        return task

    def submit_until_dead(self, providers: list[str]) -> list[str]:
        """Submit one after another, and return the ids that were acknowledged before the service died, if it did."""
        acknowledged = []
        for provider in providers:
            try:
                acknowledged.append(self.submit(provider)["id"])
            except httpx.TransportError:
                break
        return acknowledged

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.http.post(self.service.url + path, json=body, headers={**self.headers(), **(headers or {})})

    def get(self, path: str) -> httpx.Response:
        return self.http.get(self.service.url + path, headers=self.headers())

    def task(self, task_id: str) -> dict[str, Any]:
        answer = self.get(f"/v1/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()
        return task

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task, page by page."""
        return self.sides.tasks()

    def events(self, task_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.get(f"/v1/tasks/{task_id}/events").json()["data"]
        return events

    def wait_for(self, task_id: str, *statuses: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until a task has one of the statuses (any terminal one by default) and return it."""
        wanted = set(statuses) or TERMINAL
        last: dict[str, Any] = {}

        def there() -> bool:
            last.update(self.task(task_id))
            return last["status"] in wanted

        try:
            wait_until(there, seconds, f"{task_id} is {wanted}")
        except NotInTimeError as error:
            story = json.dumps([last, self.events(task_id)], indent=1)
            raise AssertionError(f"{error}\n{story}\n{self.service.words()[-2000:]}") from None
        return last

    def wait_for_attempt(self, task_id: str) -> dict[str, Any]:
        """Wait until a task's first attempt has ended, and return that event."""

        def made() -> list[dict[str, Any]]:
            return [event for event in self.events(task_id) if event["type"] == "attempt.made"]

        wait_until(lambda: bool(made()), 20, f"{task_id} was tried")
        return made()[0]

    def wait_for_all(self, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Wait until every task has ended."""
        wait_until(lambda: all(task["status"] in TERMINAL for task in self.tasks()), seconds, "every task has ended")
        return self.tasks()

    def all_events(self) -> list[dict[str, Any]]:
        """Return every event there is, oldest first."""
        return self.sides.events()

    def count_open(self, *states: str) -> int:
        """Count the tasks in these states (any but a terminal one by default), up to 200 of each."""
        return self.sides.count_open(*states)

    def ledger(self) -> list[dict[str, Any]]:
        return self.sides.ledger()

    @property
    def sides(self) -> Sides:
        """The same two, as the loss proof sees them."""
        return Sides([self.service.url], self.sandbox.url, API_KEY.partition(":")[2], self.http)

    def faults(self, **faults: object) -> None:
        """Replace all faults of the sandbox; generations stay quick unless ``seconds`` says otherwise."""
        answer = self.http.put(f"{self.sandbox.url}/_sandbox/faults", json={"seconds": [0.3, 0.6], **faults})
        assert answer.status_code == 200, answer.text

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_KEY.partition(':')[2]}"}


def basic(provider: str) -> dict[str, object]:
    """The smallest request a provider takes."""
    return {"provider": provider, "prompt": PROMPT, "reference_audio": REFERENCE}


@contextmanager
def running(
    folder: Path, *, settings: Mapping[str, str] | None = None, serve: bool = True, seed: int = 1
) -> Iterator[Stack]:
    """Run both processes for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    sandbox_port, service_port = free_port(), free_port()
    sandbox_url, service_url = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{service_port}"
    environment = {
        "RECEIVER_PUBLIC_URL": service_url,
        "RECEIVER_DATA_DIR": str(folder / "data"),
        "RECEIVER_API_KEYS": API_KEY,
        "RUNWARE_API_KEY": "sandbox",
        "AIMLAPI_API_KEY": "sandbox",
        "RECEIVER_RUNWARE_URL": f"{sandbox_url}/runware/v1",
        "RECEIVER_AIMLAPI_URL": f"{sandbox_url}/aimlapi",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{sandbox_port},127.0.0.1:{service_port}",
        "RECEIVER_AIMLAPI_POLL_SECONDS": "0.4",
        "RECEIVER_RUNWARE_POLL_SECONDS": "0.4",
        "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "3",
        "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "1,2,4,8",
        **(settings or {}),
    }
    sandbox = Process(
        ["sandbox", "--host", "127.0.0.1", "--port", str(sandbox_port), "--seed", str(seed)],
        {},
        folder,
        folder / "sandbox.log",
        sandbox_url,
    )
    service = Process(
        ["serve", "--host", "127.0.0.1", "--port", str(service_port)],
        environment,
        folder,
        folder / "service.log",
        service_url,
    )
    stack = Stack(folder, sandbox, service)
    try:
        sandbox.start()
        stack.faults()
        if serve:
            service.start()
        yield stack
    finally:
        service.kill()
        sandbox.kill()
        stack.http.close()


def balance(stack: Stack, *, patience_seconds: float = LEASE_SECONDS) -> Balance:
    """Hold our tasks against the ledger, the ground truth; acknowledged callbacks are given a lease to be counted."""
    return reckon(read_books(stack.sides, patience_seconds=patience_seconds))
