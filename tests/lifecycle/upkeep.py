"""A real store and a real folder around the steps of an operator, with a clock that a test moves."""

import hashlib
import io
import json
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from uuid import UUID

from receiver.domain.adoption import adopt
from receiver.domain.report import Reading, Via
from receiver.domain.request import TaskRequest
from receiver.domain.task import Task
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle import accept, collect, settle
from receiver.lifecycle.ports import Fetched, Limits, Outbound, Ports, Provider
from receiver.providers import PROVIDERS
from receiver.providers.runware import Runware
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import open_store
from tests.web.fakes import FakeMetrics, FakeSystem

LINK = "https://am.runware.ai/audio"


def song(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(number.to_bytes(4) + bytes(31996))
    return buffer.getvalue()


async def _nothing() -> None:
    """Let nothing happen beside a download."""


@dataclass
class Source:
    """Gives a song for every link, each another one or all ``alike``; ``beside`` happens while it is fetched."""

    beside: Callable[[], Awaitable[None]] = _nothing
    alike: bool = False
    fetched: list[str] = field(default_factory=list)

    async def fetch(self, link: str, into: Path, *, max_bytes: int, timeout_seconds: float) -> Fetched:
        self.fetched.append(link)
        sung = song(0 if self.alike else len(self.fetched))
        into.write_bytes(sung)
        await self.beside()
        return Fetched(into, len(sung), hashlib.sha256(sung).hexdigest())


class Clock(FakeSystem):
    """The clock a test moves, with keys that tell its time as real ones do."""

    def new_key(self) -> UUID:
        self.keys += 1
        milliseconds = int(self.now().timestamp() * 1000)
        return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62) | self.keys)


@dataclass(frozen=True, slots=True)
class LaterRunware(Runware):
    """Runware's adapter after it has learned a word."""

    def read(self, body: bytes, via: Via) -> Reading:
        return Runware.read(self, body.replace(b'"melodious"', b'"success"'), via)


def runware(*, later: bool = False) -> Runware:
    options = {option.name: option.default for option in PROVIDERS["runware"].options}
    built = cast("Runware", PROVIDERS["runware"].build(options, "key"))
    if not later:
        return built
    return LaterRunware(built.url, built.media_hosts, built.first_poll_seconds, built.poll_seconds, built.key)


@dataclass
class World:
    """The ports, and what a test does to them."""

    folder: Path
    ports: Ports
    source: Source
    system: Clock

    def taught(self) -> "World":
        """The same world under an adapter that knows one word more."""
        providers: dict[str, Provider] = {"runware": runware(later=True)}
        return World(self.folder, replace(self.ports, providers=providers), self.source, self.system)

    async def begun(self, count: int = 1, output_type: str | None = None) -> Task:
        """Create a task that Runware has and will call back for."""
        now, task_id = self.system.now(), self.system.new_id()
        asked = TaskRequest(
            "runware", "a prompt long enough", "https://files.example.org/a.mp3", count=count, output_type=output_type
        )
        task = Task(
            key=self.system.new_key(),
            id=task_id,
            request=asked,
            model="minimax:music@cover",
            created_at=now,
            deadline_seconds=600,
            metadata={"user": "17"},
            provider_task_id=str(task_id),
            pushed=True,
        )
        change = adopt(task)
        await self.ports.store.create(change)
        return change.task

    async def called(self, task: Task, status: str = "success", number: int = 0, padding: int = 0) -> None:
        """Take a callback for one result."""
        item = {
            "taskType": "audioInference",
            "taskUUID": str(task.id),
            "audioUUID": f"{number:08x}-0000-4000-8000-000000000000",
            "audioURL": f"{LINK}/{number}.wav",
            "status": status,
            "cost": 0.1,
            "padding": "x" * padding,
        }
        body = json.dumps({"data": [item]}).encode()
        await accept.accept(self.ports, provider="runware", task_key=task.key, body=body, headers={})

    async def settled(self) -> None:
        """Settle what lies there."""
        await settle.settle_reports(self.ports, await settle.lease(self.ports, 50))

    async def collected(self) -> None:
        """Fetch what is to be fetched."""
        for work in await collect.lease(self.ports, 10):
            await collect.collect(self.ports, work)

    async def now(self, task: Task) -> Task:
        """Return the task as it stands."""
        found = await self.ports.store.task(task.id)
        assert found is not None
        return found

    def files(self) -> list[str]:
        """Name every file in the artifact store."""
        return sorted(path.name for path in (self.folder / "artifacts").rglob("*") if path.is_file())


@asynccontextmanager
async def world(folder: Path, *, settles: bool = False) -> AsyncIterator[World]:
    system, source = Clock(), Source()
    async with (
        open_store(folder / "receiver.db", settles=settles) as store,
        open_objects(str(folder / "artifacts")) as objects,
    ):
        ports = Ports(
            store=store,
            objects=objects,
            outbound=cast("Outbound", source),
            providers={"runware": runware()},
            system=system,
            tokens=TokenSigner((SigningKey("k", bytes(32)),), bytes(16)),
            probe=probe,
            metrics=FakeMetrics(),
            limits=Limits(spool_bytes=4096),
            wake=lambda _: None,
        )
        yield World(folder, ports, source, system)
