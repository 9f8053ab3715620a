"""A real service with a real sandbox for strangers to knock at, and what only the inside knows of it."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from tests.harness import API_KEY, Stack, balance, running
from tests.strangers.wire import Door

SIGNING_SECRET = b"strangers-never-see-this-secret!"
PROVIDER_KEY = "provider-key-that-must-not-be-shown-0001"
#: Bodies of the drill's flood are small; only named cases send large ones.
SETTINGS = {
    # k1:base64 of SIGNING_SECRET
    "RECEIVER_SIGNING_KEYS": "k1:c3RyYW5nZXJzLW5ldmVyLXNlZS10aGlzLXNlY3JldCE=",
    "RUNWARE_API_KEY": PROVIDER_KEY,
    "AIMLAPI_API_KEY": PROVIDER_KEY,
    "RECEIVER_CALLBACK_BODY_SECONDS": "3",
}
_STATUS_KEYS = {"VmRSS": "now", "VmHWM": "peak"}


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process takes of the machine's memory, in bytes."""

    now: int
    peak: int


@dataclass
class House:
    """The service under attack."""

    stack: Stack
    door: Door
    signer: TokenSigner
    #: Tokens of tasks that wait for a callback which never comes, by task id.
    targets: Mapping[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """A good token."""
        return next(iter(self.targets.values()))

    def path(self, token: str | None = None, provider: str = "runware") -> str:
        """Where a callback goes."""
        return f"/callbacks/{provider}/{token or self.token}"

    def issued(
        self,
        purpose: Purpose = Purpose.CALLBACK,
        provider: str = "runware",
        subject: UUID | None = None,
        lifetime: timedelta = timedelta(days=1),
    ) -> str:
        """A token under the service's own key."""
        return self.signer.issue(purpose, provider, subject or uuid4(), datetime.now(UTC) + lifetime)

    def memory(self) -> Memory:
        """What the service takes now, and took at most."""
        assert self.stack.service.child is not None
        status = Path(f"/proc/{self.stack.service.child.pid}/status").read_text("ascii")
        lines = dict(line.split(":", 1) for line in status.splitlines() if line.split(":")[0] in _STATUS_KEYS)
        return Memory(**{_STATUS_KEYS[name]: int(value.split()[0]) * 1024 for name, value in lines.items()})

    def open_files(self) -> int:
        """How many descriptors the service holds."""
        assert self.stack.service.child is not None
        return len(list(Path(f"/proc/{self.stack.service.child.pid}/fd").iterdir()))

    def secrets(self) -> list[str]:
        """What no output may hold."""
        key_id, _, secret = API_KEY.partition(":")
        assert key_id
        made = {urlsplit(call).path.rpartition("/")[2] for call in webhooks(self.stack).values()}
        return [
            secret,
            PROVIDER_KEY,
            SETTINGS["RECEIVER_SIGNING_KEYS"].partition(":")[2],
            *made,
            *self.targets.values(),
        ]

    def assert_silent(self) -> None:
        """No traceback and no secret in anything the process wrote."""
        words = self.stack.service.words()
        assert "Traceback" not in words, words[-4000:]
        assert "Error" not in words, words[-4000:]
        assert [secret for secret in self.secrets() if secret in words] == []

    def assert_works(self) -> None:
        """The main job is done as if nobody had ever knocked, and the balance is exact."""
        self.stack.faults()
        tasks = [self.stack.submit(provider) for provider in ("runware", "aimlapi")]
        ended = [self.stack.wait_for(task["id"]) for task in tasks]
        assert [task["status"] for task in ended] == ["succeeded", "succeeded"]
        assert {result["artifact"]["status"] for task in ended for result in task["results"]} == {"stored"}
        balance(self.stack).assert_exact()

    def finished(self) -> dict[str, Any]:
        """A task that has succeeded."""
        self.stack.faults()
        return self.stack.wait_for(self.stack.submit("aimlapi")["id"], "succeeded")

    def reports(self, task_id: str) -> list[dict[str, object]]:
        """The reports of a task."""
        found: list[dict[str, object]] = self.stack.get(f"/v1/tasks/{task_id}/reports").json()["data"]
        return found


def webhooks(stack: Stack) -> dict[str, str]:
    """The address each task of Runware is to be called back at, by task id."""
    return {entry["provider_task_id"]: entry["webhook_url"] for entry in stack.ledger() if entry["webhook_url"]}


@contextmanager
def attacked(folder: Path, *, targets: int = 3, settings: Mapping[str, str] | None = None) -> Iterator[House]:
    """Run a service with some tasks that the provider never finishes, so that only strangers call."""
    with running(folder, settings={**SETTINGS, **(settings or {})}) as stack:
        stack.faults(stall=1.0)
        tasks = [stack.submit("runware")["id"] for _ in range(targets)]
        for task in tasks:
            stack.wait_for(task, "submitted")
        addresses = webhooks(stack)
        parts = urlsplit(stack.service.url)
        assert parts.port is not None
        yield House(
            stack,
            Door(parts.port),
            TokenSigner([SigningKey("k1", SIGNING_SECRET)], _installation(folder)),
            {task: addresses[task].rpartition("/")[2] for task in tasks},
        )


def _installation(folder: Path) -> bytes:
    with closing(sqlite3.connect(f"file:{folder}/data/receiver.db?mode=ro", uri=True)) as connection:
        found: bytes = connection.execute("SELECT id FROM installation").fetchone()[0]
        return found
