"""Both providers by a clock that a test moves, around a real store: when what ends is exact, and no time passes."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from receiver.domain.errors import AnswerLostError
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import TaskRequest
from receiver.domain.task import Task
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle import accept, collect, poll, settle, submit
from receiver.lifecycle.planning import Learning
from receiver.lifecycle.ports import Fetched, Limits, Outbound, Ports
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.standings import OwnStandings
from receiver.providers import PROVIDERS
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import open_store
from tests.lifecycle.upkeep import Clock, song
from tests.web.fakes import FakeMetrics

MODELS = {"runware": "minimax:music@cover", "aimlapi": "minimax/music-cover"}


@dataclass
class Providers:
    """Takes every generation, and says that it is done once its time has come by the clock."""

    system: Clock
    seconds: Callable[[], float]
    done_at: dict[str, datetime] = field(default_factory=dict)

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        body = self._runware(request) if provider == "runware" else self._aimlapi(request)
        return HttpAnswer(200, {}, json.dumps(body).encode())

    async def fetch(self, link: str, into: Path, *, max_bytes: int, timeout_seconds: float) -> Fetched:
        into.write_bytes(song())
        return Fetched(into, len(song()), hashlib.sha256(song()).hexdigest())

    def callback(self, name: str) -> bytes:
        """What Runware would call back with."""
        return json.dumps({"data": [self._item(name)]}).encode()

    def _begin(self, name: str) -> None:
        self.done_at[name] = self.system.now() + timedelta(seconds=self.seconds())

    def _done(self, name: str) -> bool:
        return self.done_at[name] <= self.system.now()

    def _runware(self, request: HttpRequest) -> object:
        items: list[dict[str, object]] = []
        for item in json.loads(request.body or b"[]"):
            name = item["taskUUID"]
            if item["taskType"] != "getResponse":
                self._begin(name)
                items.append({"taskType": "audioInference", "taskUUID": name})
            elif self._done(name):
                items.append(self._item(name))
            else:
                items.append({"taskType": "audioInference", "taskUUID": name, "status": "processing"})
        return {"data": items}

    def _item(self, name: str) -> dict[str, object]:
        link = f"https://am.runware.ai/audio/{name}.wav"
        told = {"taskType": "audioInference", "taskUUID": name, "audioUUID": name, "audioURL": link, "cost": 0.1}
        return {**told, "status": "success"}

    def _aimlapi(self, request: HttpRequest) -> object:
        if request.method == "POST":
            name = f"generation-{len(self.done_at):04}"
            self._begin(name)
            return {"id": name, "status": "queued"}
        [name] = parse_qs(urlsplit(request.url).query)["generation_id"]
        if not self._done(name):
            return {"id": name, "status": "generating"}
        return {"id": name, "status": "completed", "audio_file": {"url": f"https://cdn.aimlapi.com/{name}.wav"}}


@dataclass
class Studio:
    """One task after another, each step at the moment it falls due."""

    ports: Ports
    providers: Providers
    system: Clock
    calls_back: bool = True
    learning: Learning = field(default_factory=Learning)

    async def made(self, provider: str) -> tuple[Task, float]:
        """Have a task made; return it as it ended and how many seconds it lay finished before that was known."""
        task = await self.begun(provider)
        assert task.provider_task_id is not None
        done_at = self.providers.done_at[task.provider_task_id]
        called = not (self.calls_back and task.pushed)
        while task.settled_at is None:
            assert task.due_at is not None
            if not called and done_at <= task.due_at:
                called = True
                self._wait(done_at)
                await self.called(task)
            else:
                self._wait(task.due_at)
                await self._look(provider)
            await self._settle()
            task = await self.now(task)
        for work in await collect.lease(self.ports, 10):
            await collect.collect(self.ports, work)
        task = await self.now(task)
        assert task.settled_at is not None
        # What is learned from a callback, or from its absence, needs a moment.
        self._wait(task.settled_at + timedelta(seconds=10))
        return task, (task.settled_at - done_at).total_seconds()

    async def learn(self) -> dict[str, bool]:
        """Learn from all that was made."""
        return dict(await self.learning.learn(self.ports))

    async def begun(self, provider: str) -> Task:
        """Have a task submitted and leave it at that."""
        asked = TaskRequest(
            provider, "a prompt long enough", "https://files.example.org/a.mp3", model=MODELS[provider]
        )
        task, _ = await submit.intend(self.ports, submit.Asked(asked))
        for leased in await submit.lease(self.ports, self.ports.providers[provider], 1):
            reception = Reception(provider, OwnStandings(self.ports.system), self.ports.limits.lease)
            await submit.submit(self.ports, leased, reception, lambda _: None)
        return await self.now(task)

    async def now(self, task: Task) -> Task:
        """Return the task as it stands."""
        found = await self.ports.store.task(task.id)
        assert found is not None
        return found

    async def called(self, task: Task) -> None:
        """Let Runware call back for a task."""
        body = self.providers.callback(str(task.id))
        await accept.accept(self.ports, provider="runware", task_key=task.key, body=body, headers={})
        await self._settle()

    async def _settle(self) -> None:
        await settle.settle_reports(self.ports, await settle.lease(self.ports, 50))

    async def _look(self, provider: str) -> None:
        for batch in await poll.lease(self.ports, self.ports.providers[provider], 50):
            await poll.poll(self.ports, self.ports.providers[provider], batch)

    def _wait(self, moment: datetime) -> None:
        self.system.passed += max(0.0, (moment - self.system.now()).total_seconds())


def nothing() -> HttpAnswer:
    """Answer nothing that arrives."""
    raise AnswerLostError("took too long")


@dataclass
class Lingering:
    """A provider that has time pass before whatever it says."""

    studied: Studio
    said: Callable[[], HttpAnswer]
    seconds: float = 90.0

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        self.studied.system.passed += self.seconds
        return self.said()


@asynccontextmanager
async def studio(folder: Path, seconds: Callable[[], float], *, database: str | None = None) -> AsyncIterator[Studio]:
    system = Clock()
    providers = Providers(system, seconds)
    built = {
        name: entry.build({option.name: option.default for option in entry.options}, "a-key-of-nobody")
        for name, entry in PROVIDERS.items()
    }
    async with (
        # Leases go by the clock that the test moves.
        open_store(database or folder / "receiver.db", moment=lambda _, now: now) as store,
        open_objects(str(folder / "artifacts")) as objects,
    ):
        ports = Ports(
            store=store,
            objects=objects,
            outbound=cast("Outbound", providers),
            providers=built,
            system=system,
            tokens=TokenSigner((SigningKey("k", bytes(32)),), UUID(int=1).bytes),
            probe=probe,
            metrics=FakeMetrics(),
            limits=Limits(public_url="https://hooks.example.org"),
            wake=lambda _: None,
        )
        yield Studio(ports, providers, system)
