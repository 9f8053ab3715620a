"""Starts the sandbox and the service as real processes, talks to them over sockets, and draws up the balance."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TERMINAL = frozenset({"succeeded", "partial", "failed", "lost", "cancelled"})
START_SECONDS = 120.0
REFERENCE = "https://files.example.org/reference.mp3"
PROMPT = "quiet jazz trio, brushes and upright bass"
API_KEY = "tests:0123456789abcdef0123456789abcdef"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(is_so: Callable[[], bool], seconds: float, what: str, *, every_seconds: float = 0.05) -> None:
    """Wait for a condition; a test that waits names what it waited for when that never came."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every_seconds)


@dataclass
class Process:
    """A child of ours: its words go to a file, it is ended by its process id."""

    arguments: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    url: str
    child: subprocess.Popen[bytes] | None = None
    #: What the interpreter runs; a test may have an entry of its own.
    program: Sequence[str] = ("-m", "receiver")

    def start(self, *, expect_death: bool = False) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, *self.program, *self.arguments],
                env={**_clean_environment(), **self.environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self._answers() or (expect_death and self.dead), START_SECONDS, f"{self.url} answers")

    def stop(self, *, seconds: float = 10.0) -> float:
        """End it as an operator would, and return how long that took."""
        assert self.child is not None
        begun = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s; its words:\n{self.words()[-3000:]}") from None
        return time.monotonic() - begun

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    @property
    def dead(self) -> bool:
        return self.child is not None and self.child.poll() is not None

    def dies_within(self, seconds: float) -> bool:
        """Wait until it has ended by itself, or the time is over."""
        if self.child is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)
        return self.dead

    def words(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def _answers(self) -> bool:
        if self.dead and self.child is not None and self.child.returncode != -signal.SIGKILL:
            raise AssertionError(f"ended with {self.child.returncode}; its words:\n{self.words()[-3000:]}")
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _clean_environment() -> dict[str, str]:
    """The environment without the settings of whoever runs the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RECEIVER_") and not name.endswith("_API_KEY")
    }


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
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.get(f"/v1/tasks?limit=200{cursor}").json()
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

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
        except AssertionError as error:
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
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(f"/v1/events?limit=1000&after={found[-1]['id'] if found else 0}").json()["data"]
            if not page:
                return found
            found += page

    def count_open(self, *states: str) -> int:
        """Count the tasks in these states (any but a terminal one by default), up to 200 of each."""
        states = states or ("queued", "submitted", "unknown", "collecting")
        return sum(len(self.get(f"/v1/tasks?limit=200&status={state}").json()["data"]) for state in states)

    def ledger(self) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = self.http.get(f"{self.sandbox.url}/_sandbox/ledger").json()["tasks"]
        return tasks

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


@dataclass(frozen=True)
class Books:
    """What our API and the sandbox's ledger say at one moment, each in full."""

    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]
    events: Mapping[str, list[dict[str, Any]]]

    def pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Yield every entry of the ledger with the task of ours that it belongs to, None when there is none."""
        by_provider_id = {task["provider_task_id"]: task for task in self.ours if task["provider_task_id"]}
        by_id = {task["id"]: task for task in self.ours}
        for entry in self.theirs:
            yield entry, by_provider_id.get(entry["provider_task_id"]) or by_id.get(entry["client_request_id"] or "")


def read_books(stack: Stack, *, patience_seconds: float = 10.0) -> Books:
    """Read both sides; what was acknowledged a moment ago is given a while to be counted as well."""
    end = time.monotonic() + patience_seconds
    while True:
        # In this order nothing that one side shows can be too new for the next.
        theirs, ours = stack.ledger(), stack.tasks()
        events: dict[str, list[dict[str, Any]]] = {}
        for event in stack.all_events():
            events.setdefault(event["task_id"], []).append(event)
        books = Books(ours, theirs, events)
        if not reckon(books).acknowledged_but_missing or time.monotonic() > end:
            return books


@dataclass(frozen=True)
class Balance:
    """What the sandbox's ledger says against what our API says; every list names what is wrong, so all are empty.

    ``statuses`` counts our tasks, ``matched`` those that the ledger knows.
    """

    ledger_tasks: int
    statuses: Mapping[str, int]
    matched: Mapping[str, int]
    billed_but_unknown: list[str]
    claimed_twice: list[str]
    without_ledger: list[str]
    acknowledged_but_missing: list[str]
    ended_twice: list[str]
    submitted_twice: list[str]
    wrong_audio: list[str]
    lost_but_made: list[str]
    broken_timelines: list[str]

    def assert_exact(self) -> None:
        wrong = {name: value for name, value in vars(self).items() if isinstance(value, list) and value}
        assert not wrong, f"the balance is off: {json.dumps(wrong, indent=1)}\n{self}"
        assert self.ledger_tasks == sum(self.matched.values()), f"the balance is off: {self}"


def balance(stack: Stack) -> Balance:
    """Hold our tasks against the ledger, the ground truth."""
    return reckon(read_books(stack))


def reckon(books: Books) -> Balance:
    """Draw up the balance of both sides' books."""
    claimed: Counter[str] = Counter()
    matched: Counter[str] = Counter()
    unknown, missing, wrong_audio, lost_but_made = [], [], [], []
    for entry, task in books.pairs():
        if task is None:
            unknown.append(entry["provider_task_id"])
            continue
        claimed[task["id"]] += 1
        matched[task["status"]] += 1
        acknowledged = sum(1 for call in entry["callbacks"] if call["status_code"] == 200)
        if task["callbacks"] < acknowledged:
            missing.append(f"{task['id']}: {acknowledged} acknowledged, {task['callbacks']} known")
        made = {result["sha256"] for result in entry["results"]}
        if task["status"] == "lost" and made:
            lost_but_made.append(task["id"])
        for result in task["results"]:
            artifact = result["artifact"]
            if artifact["status"] == "stored" and artifact["sha256"] not in made:
                wrong_audio.append(f"{task['id']}: {artifact['sha256']}")
    requests = Counter(
        e["client_request_id"] for e in books.theirs if e["provider"] == "aimlapi" and e["client_request_id"]
    )
    return Balance(
        ledger_tasks=len(books.theirs),
        statuses=Counter(task["status"] for task in books.ours),
        matched=matched,
        billed_but_unknown=unknown,
        claimed_twice=[task_id for task_id, times in claimed.items() if times > 1],
        without_ledger=[task["id"] for task in books.ours if task["id"] not in claimed and not _explained(task)],
        acknowledged_but_missing=missing,
        ended_twice=[task_id for task_id, events in books.events.items() if _endings(events) > 1],
        submitted_twice=[request for request, times in requests.items() if times > 1],
        wrong_audio=wrong_audio,
        lost_but_made=lost_but_made,
        broken_timelines=[task["id"] for task in books.ours if not _unbroken(books.events.get(task["id"], []))],
    )


def _explained(task: dict[str, Any]) -> bool:
    """A task the ledger does not know is one that never got there, or that we do not claim got there."""
    refused = task["status"] == "failed" and task["submitted_at"] is None
    return task["status"] in {"queued", "unknown", "lost", "cancelled"} or refused


def _endings(events: list[dict[str, Any]]) -> int:
    """Count terminal events; being found after being lost allows one more."""
    types = [event["type"] for event in events]
    endings = sum(1 for kind in types if kind.removeprefix("task.") in TERMINAL)
    return endings - types.count("task.found")


def _unbroken(events: list[dict[str, Any]]) -> bool:
    """A timeline is numbered from 1 without a gap."""
    return bool(events) and [event["seq"] for event in events] == list(range(1, len(events) + 1))
