"""What both sides say over HTTP: the service of its tasks, the sandbox of what really happened."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from receiver.drill.balance import TERMINAL, Books, reckon, stored_audio
from receiver.drill.processes import DrillError, NotInTimeError, wait_until

#: Whatever has not ended and whose submit was answered, or is yet to be made; and with it what is in doubt.
KNOWN = ("queued", "submitted", "collecting")
OPEN = (*KNOWN, "unknown")
#: For so long a reader asks again where a service is away: it may have been killed, and be started on a busy machine.
_PATIENCE_SECONDS = 120.0
#: A process that died has claimed callbacks for as long as its lease lasts, two minutes unless set otherwise; until
#: that ends nobody else may count them.
LEASE_SECONDS = 150.0
#: The ledger of a hundred thousand callbacks is some hundred megabytes.
_LEDGER_SECONDS = 600.0
_PAGE = 200
#: Files of audio that are read at once: a hundred thousand, one after the other, take twenty minutes.
_READERS = 4
_STORIES = 3


@dataclass(frozen=True, slots=True)
class Sides:
    """The replicas of one service (often one) and the sandbox behind them; ``key`` opens the service's interface.

    ``doors`` are those that take callbacks, where they are others than ``services``.
    """

    services: Sequence[str]
    sandbox: str
    key: str = field(repr=False)
    http: httpx.Client
    doors: Sequence[str] = ()

    @property
    def headers(self) -> Mapping[str, str]:
        """What a caller of the interface shows."""
        return {"Authorization": f"Bearer {self.key}"}

    def ask(self, path: str) -> httpx.Response:
        """GET from the service, from another replica while one is away. Raises DrillError for any other answer."""
        end = time.monotonic() + _PATIENCE_SECONDS
        attempt = 0
        while True:
            service = self.services[attempt % len(self.services)]
            attempt += 1
            try:
                answer = self.http.get(service + path, headers=dict(self.headers))
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.status_code == httpx.codes.OK:
                    return answer
                said = f"HTTP {answer.status_code}"
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    raise DrillError(f"GET {path}: {said} {answer.text[:200]}")
            if time.monotonic() > end:
                raise DrillError(f"GET {path}: {said}, for {_PATIENCE_SECONDS:g} s")
            time.sleep(0.1)

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task, newest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.ask(f"/v1/tasks?limit={_PAGE}{cursor}").json()
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def events(self) -> list[dict[str, Any]]:
        """Return every event there is, oldest first."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.ask(f"/v1/events?limit=1000&after={found[-1]['id'] if found else 0}").json()["data"]
            if not page:
                return found
            found += page

    def timeline(self, task_id: str) -> list[dict[str, Any]]:
        """Return the events of one task."""
        events: list[dict[str, Any]] = self.ask(f"/v1/tasks/{task_id}/events").json()["data"]
        return events

    def count_open(self, *states: str) -> int:
        """Count the tasks in these states (any but a terminal one by default), up to 200 of each."""
        return sum(
            len(self.ask(f"/v1/tasks?limit={_PAGE}&status={state}").json()["data"]) for state in states or OPEN
        )

    def ledger(self) -> list[dict[str, Any]]:
        """Return every generation that the sandbox accepted, with what became of it."""
        tasks: list[dict[str, Any]] = self._of_sandbox("ledger")["tasks"]
        return tasks

    def counts(self) -> dict[str, Any]:
        """Return the ledger in a few numbers."""
        return self._of_sandbox("counts")

    def set_faults(self, faults: Mapping[str, object]) -> None:
        """Replace all faults of the sandbox. Raises DrillError with what is wrong with them."""
        answer = self.http.put(f"{self.sandbox}/_sandbox/faults", json=dict(faults))
        if answer.status_code != httpx.codes.OK:
            raise DrillError(f"the sandbox takes no such faults: {answer.text}")

    def _of_sandbox(self, name: str) -> dict[str, Any]:
        try:
            answer = self.http.get(f"{self.sandbox}/_sandbox/{name}", timeout=_LEDGER_SECONDS)
            document: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise DrillError(f"the sandbox does not show its {name} ({type(error).__name__})") from None
        return document


def read_books(sides: Sides, *, patience_seconds: float = LEASE_SECONDS) -> Books:
    """Read both sides; what was acknowledged and is not yet counted is given until every claim on it has ended."""
    end = time.monotonic() + patience_seconds
    while True:
        # In this order nothing that one side shows can be too new for the next.
        theirs, ours = sides.ledger(), sides.tasks()
        events: dict[str, list[dict[str, Any]]] = {}
        for event in sides.events():
            events.setdefault(event["task_id"], []).append(event)
        books = Books(ours, theirs, events)
        if not reckon(books).acknowledged_but_missing or time.monotonic() > end:
            return books
        time.sleep(0.2)


def with_audio(sides: Sides, books: Books) -> Books:
    """Read every audio that our interface says it holds, and return the books with what the bytes are."""

    def digest(path: str) -> str:
        return hashlib.sha256(sides.ask(path).content).hexdigest()

    paths = list(stored_audio(books))
    with ThreadPoolExecutor(_READERS) as readers:
        return replace(books, audio=dict(zip(paths, readers.map(digest, paths), strict=True)))


def wait_for_rest(
    sides: Sides,
    seconds: float,
    watch: Callable[[int], None] | None = None,
    *,
    states: Sequence[str] = OPEN,
    every_seconds: float = 0.25,
) -> None:
    """Wait until no task of ours is in these states any more and the sandbox has nothing left to send.

    ``watch`` hears how many are open. To ask costs the service a few milliseconds. Raises NotInTimeError, which tells
    what hangs.
    """

    def ended() -> bool:
        still_open = sides.count_open(*states)
        if watch is not None:
            watch(still_open)
        return not still_open

    try:
        wait_until(ended, seconds, "every task has ended", every_seconds=every_seconds)
    except NotInTimeError as error:
        hanging = [task for task in sides.tasks() if task["status"] not in TERMINAL]
        counts = ", ".join(f"{n} {word}" for word, n in Counter(task["status"] for task in hanging).items())
        stories = "\n".join(f"{task}\n{sides.timeline(task['id'])}" for task in hanging[-_STORIES:])
        raise NotInTimeError(f"{error}; still {counts}; the oldest:\n{stories}") from None
    wait_until(
        lambda: sides.counts()["under_way"] == 0,
        seconds,
        "the sandbox has nothing left to send",
        every_seconds=every_seconds,
    )
