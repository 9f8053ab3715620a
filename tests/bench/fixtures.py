"""What a run is made of: a data folder with tasks in flight, and a file with one callback for each."""

import asyncio
import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from receiver.bootstrap import Receiver, load_settings, opened
from receiver.domain.request import TaskRequest
from receiver.domain.submission import create
from receiver.domain.task import Status, Task, Work
from receiver.domain.token import Purpose
from receiver.settings import Loaded

#: How many tasks are written at once; each call waits for its commit.
_AT_ONCE = 512
_LIFE = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Shot:
    """One callback as a provider sends it: the path with its token, and the body."""

    path: str
    body: bytes

    def request(self, port: int) -> bytes:
        """Return the whole HTTP/1.1 request."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


#: What processes that share a database have to be given; of no worth anywhere else.
_SHARED_KEYS = {
    "RECEIVER_SIGNING_KEYS": f"bench:{base64.b64encode(bytes(32)).decode()}",
    "RECEIVER_API_KEYS": f"bench:{'0' * 32}",
}


def _asking(provider: str) -> dict[str, str]:
    """Return what lets many tasks be asked about at once, at a provider that stands for both, every 15 s."""
    return {
        "RUNWARE_API_KEY": "bench-key-of-no-provider",
        "AIMLAPI_API_KEY": "bench-key-of-no-provider",
        "RECEIVER_RUNWARE_URL": f"{provider}/v1",
        "RECEIVER_AIMLAPI_URL": provider,
        "RECEIVER_RUNWARE_POLL_SECONDS": "15",
        "RECEIVER_AIMLAPI_POLL_SECONDS": "15",
        "RECEIVER_POLL_CONCURRENCY": "128",
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": "127.0.0.1",
    }


def loaded_for(folder: Path, database: str | None = None, *, provider: str | None = None) -> Loaded:
    """Return the settings of a service in ``folder`` that nobody configured but the bench.

    ``database`` is the URL of one on PostgreSQL; without it there is one in the folder. ``provider`` is the URL of
    what is asked about tasks; without it nobody is.
    """
    loaded = load_settings(
        {
            **({} if database is None else {"RECEIVER_DATABASE_URL": database, **_SHARED_KEYS}),
            **({} if provider is None else _asking(provider)),
            "RECEIVER_DATA_DIR": str(folder / "var"),
            "RECEIVER_PUBLIC_URL": "https://callbacks.example.org",
            # What is measured is receiving and settling: nothing falls due for a look meanwhile.
            "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "86400",
            "RECEIVER_LOG_LEVEL": "warning",
        }
    )
    # Links lead nowhere here; fetching is line S11.
    return replace(loaded, settings=loaded.settings.model_copy(update={"collect_concurrency": 0}))


def shots_without_tasks(folder: Path, count: int, *, database: str | None = None) -> list[Shot]:
    """Return callbacks whose tokens verify; their tasks are not there, which receiving never asks."""

    async def make() -> list[Shot]:
        async with opened(loaded_for(folder, database)) as receiver:
            system = receiver.ports.system
            return [_shot(receiver, system.new_key(), system.new_id()) for _ in range(count)]

    return asyncio.run(make())


def shots_with_tasks(folder: Path, count: int, *, database: str | None = None) -> list[Shot]:
    """Write ``count`` tasks in flight and return the one callback that settles each."""

    async def make() -> list[Shot]:
        async with opened(loaded_for(folder, database)) as receiver:
            now = receiver.ports.system.now()
            tasks = [_task(receiver, now, number) for number in range(count)]
            for start in range(0, count, _AT_ONCE):
                await asyncio.gather(*(_keep(receiver, task) for task in tasks[start : start + _AT_ONCE]))
            return [_shot(receiver, task.key, task.id) for task in tasks]

    return asyncio.run(make())


def write_requests(shots: Sequence[Shot], port: int, path: Path) -> None:
    """Write whole requests, each behind its length in eight digits: a load generator only reads and sends."""
    with path.open("wb") as file:
        for request in _requests(shots, port):
            file.write(f"{len(request):08d}".encode())
            file.write(request)


def _requests(shots: Iterable[Shot], port: int) -> Iterable[bytes]:
    return (shot.request(port) for shot in shots)


async def _keep(receiver: Receiver, task: Task) -> None:
    change = create(task)
    in_flight = replace(
        change.task,
        status=Status.SUBMITTED,
        pushed=True,
        attempts=1,
        submitted_at=task.created_at,
        deadline_at=task.created_at + timedelta(days=1),
        work=Work.POLL,
        due_at=task.created_at + timedelta(days=1),
    )
    await receiver.ports.store.create(replace(change, task=in_flight))


def _task(receiver: Receiver, now: datetime, number: int) -> Task:
    task_id = receiver.ports.system.new_id()
    request = TaskRequest(
        "runware",
        f"bossa nova with nylon guitar, take {number}",
        "https://files.example.org/reference.mp3",
        model="minimax:music@cover",
        count=1,
        output_type="URL",
    )
    return Task(
        key=receiver.ports.system.new_key(),
        id=task_id,
        request=request,
        model="minimax:music@cover",
        created_at=now,
        deadline_seconds=86400.0,
        provider_task_id=str(task_id),
        metadata={"user": f"u{number % 100}"},
    )


def _shot(receiver: Receiver, key: UUID, task_id: UUID) -> Shot:
    token = receiver.ports.tokens.issue(Purpose.CALLBACK, "runware", key, receiver.ports.system.now() + _LIFE)
    result = str(receiver.ports.system.new_id())
    said = {
        "taskType": "audioInference",
        "taskUUID": str(task_id),
        "audioUUID": result,
        "audioURL": f"https://am.runware.ai/audio/ws/0.5/ai/{result}.mp3",
        "status": "success",
        "seed": 41,
        "cost": 0.15,
    }
    return Shot(f"/callbacks/runware/{token}", json.dumps({"data": [said]}).encode())
