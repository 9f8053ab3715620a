"""A world in memory around the web side: clock, store, objects, metrics, two providers."""

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from receiver.domain.adoption import Adoptable
from receiver.domain.delivery import Delivery, Told
from receiver.domain.endpoint import Endpoint, EndpointStatus
from receiver.domain.errors import (
    FieldProblem,
    FieldWarning,
    NotFoundError,
    ReusedKeyError,
    TooManyBodiesError,
    UnavailableError,
)
from receiver.domain.exchange import HttpRequest
from receiver.domain.learning import Known
from receiver.domain.report import NewReport, StoredReport, Via
from receiver.domain.request import Checked, TaskRequest
from receiver.domain.result import Artifact, ArtifactStatus, Result
from receiver.domain.task import Change, Recovery, Task
from receiver.domain.token import Purpose, SigningKey, TokenSigner
from receiver.lifecycle.ports import (
    Appended,
    Backlog,
    BodyLimits,
    DeliveryFilter,
    Fetched,
    Limits,
    Notifying,
    Objects,
    Once,
    Outbound,
    Outbox,
    Pause,
    Ports,
    Provider,
    Queue,
    RecordedEvent,
    ReportSummary,
    Store,
    TaskFilter,
    UnderWay,
)
from receiver.storage.probe import probe
from receiver.storage.vault import FernetVault

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = "the-key-of-the-tests-0123456789abcdef"
BEARER = {"Authorization": f"Bearer {KEY}"}
SHA256 = "ab" * 32


class FakeSystem:
    """A clock that moves when somebody sleeps, or when a test moves it; with ``still`` nobody's sleep ends."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.keys = 0
        self.on_sleep: Callable[[], None] = lambda: None
        self.still = False
        self.at_checkpoint: Callable[[str], None] = lambda _: None

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    async def sleep(self, seconds: float) -> None:
        if self.still:
            self.on_sleep()
            await asyncio.Event().wait()
        self.passed += seconds
        self.on_sleep()
        await asyncio.sleep(0)

    def new_id(self) -> UUID:
        return uuid4()

    def new_key(self) -> UUID:
        self.keys += 1
        return UUID(int=(0x7 << 76) | (0x2 << 62) | (self.keys << 80))

    def jitter(self) -> float:
        return 0.5

    def checkpoint(self, name: str) -> None:
        self.at_checkpoint(name)


class FakeMetrics:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.observed: Counter[str] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        self.counts[name, *(labels[label] for label in sorted(labels))] += amount

    def observe(self, name: str, *seconds: float, **labels: str) -> None:
        self.observed[name] += len(seconds)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[name, *(labels[label] for label in sorted(labels))] = value

    def forget(self, name: str) -> None:
        self.gauges = {key: value for key, value in self.gauges.items() if key[0] != name}


class Calls:
    """What the web side asks the outbound room: whether the last call to a provider came to nothing."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self.asked = 0
        #: Endpoints hang until this is set.
        self.answers = asyncio.Event()
        self.answers.set()

    def trouble(self, provider: str) -> str | None:
        return self.troubles.get(provider)

    async def refusal_to_notify(self, url: str) -> str | None:
        return None if url.startswith("https://") else "only https is allowed"

    async def notify(self, request: HttpRequest) -> Told:
        self.asked += 1
        await self.answers.wait()
        return Told(None, 200)


class MemoryObjects:
    """The artifact store in a dict. ``broken`` makes it unavailable."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.broken = False
        self.bucket: str | None = None
        self.open_streams = 0
        self.chunk_bytes = 4096
        self.breaks_after_chunks: int | None = None

    async def keep_bytes(self, data: bytes, key: str) -> None:
        self._check()
        self.kept[key] = data

    async def gather(self, chunks: AsyncIterable[bytes]) -> Fetched:
        self._check()
        data = b"".join([chunk async for chunk in chunks])
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(data)
        return Fetched(Path(file.name), len(data), hashlib.sha256(data).hexdigest())

    async def keep_file(self, path: Path, key: str) -> None:
        await self.keep_bytes(path.read_bytes(), key)

    async def read(self, key: str) -> bytes:
        self._check()
        if key not in self.kept:
            raise NotFoundError
        return self.kept[key]

    @asynccontextmanager
    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        data = (await self.read(key))[start:end]
        self.open_streams += 1
        try:
            yield self._chunks(data)
        finally:
            self.open_streams -= 1

    async def _chunks(self, data: bytes) -> AsyncIterator[bytes]:
        for number, at in enumerate(range(0, len(data), self.chunk_bytes)):
            if number == self.breaks_after_chunks:
                raise UnavailableError("the disk is gone")
            yield data[at : at + self.chunk_bytes]
            await asyncio.sleep(0)

    async def link(self, key: str, seconds: int) -> str | None:
        self._check()
        return None if self.bucket is None else f"{self.bucket}/{key}?Expires={seconds}"

    async def remove(self, key: str) -> None:
        self.kept.pop(key, None)

    def scratch(self) -> Path:
        raise NotImplementedError

    def where(self, key: str) -> str:
        return f"memory://{key}"

    def _check(self) -> None:
        if self.broken:
            raise UnavailableError("the artifact store is away")


class MemoryStore:
    """What the web side uses of the store. ``fault`` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.by_id: dict[UUID, Task] = {}
        self.appended: list[NewReport] = []
        self.recorded: list[RecordedEvent] = []
        self.looked_at: list[UUID] = []
        self.filters: list[TaskFilter] = []
        self.bodies: dict[UUID, tuple[UUID, StoredReport]] = {}
        self.pings = 0
        self.dying = 0
        self.looks = 0
        self.fault: Exception | None = None
        self.trouble: str | None = None
        self.paused: dict[str, Pause] = {}
        self.due: dict[Queue, datetime] = {}
        self.named: dict[tuple[str, str], tuple[bytes, UUID]] = {}

    async def create(self, change: Change, once: Once | None = None) -> UUID | None:
        self._check()
        if once is not None:
            digest, task_id = self.named.setdefault((once.caller, once.name), (once.digest, change.task.id))
            if digest != once.digest:
                raise ReusedKeyError
            if task_id != change.task.id:
                return task_id
        self.put(change.task)
        for event in change.events:
            self.record(change.task.id, event.type, dict(event.data), event.at)
        return None

    async def pauses(self) -> Mapping[str, Pause]:
        self._check()
        return self.paused

    def append(self, report: NewReport, limits: BodyLimits) -> asyncio.Future[Appended]:
        return asyncio.ensure_future(self._append(report, limits))

    async def _append(self, report: NewReport, limits: BodyLimits) -> Appended:
        self._check()
        same_task = [known for known in self.appended if known.task_key == report.task_key]
        if any(known.sha256 == report.sha256 for known in same_task):
            return Appended.DUPLICATE
        if len(same_task) >= limits.bodies:
            raise TooManyBodiesError
        self.appended.append(report)
        return Appended.ACCEPTED

    async def look_at(self, task_key: UUID, now: datetime) -> None:
        self._check()
        self.looked_at.append(task_key)

    async def task(self, task_id: UUID) -> Task | None:
        self._check()
        self.looks += 1
        return self.by_id.get(task_id)

    async def tasks(self, wanted: TaskFilter) -> list[Task]:
        self._check()
        self.filters.append(wanted)
        found = [task for task in self.by_id.values() if _fits(task, wanted)]
        return sorted(found, key=lambda task: task.key, reverse=True)[: wanted.limit]

    async def events(self, task_id: UUID | None, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        self._check()
        found = [one for one in self.recorded if one.id > after and task_id in {None, one.task_id}]
        return found[:limit]

    async def last_event(self) -> int:
        self._check()
        return self.recorded[-1].id if self.recorded else 0

    async def reports(self, task_id: UUID) -> list[ReportSummary]:
        self._check()
        return [
            ReportSummary(
                id=report.id,
                provider=report.provider,
                via=report.via,
                received_at=report.received_at,
                size=report.size,
                sha256=b"\x01" * 32,
                sliced=False,
                duplicate_of=report.duplicate_of,
                verdict=None,
                reason=None,
            )
            for owner, report in self.bodies.values()
            if owner == task_id
        ]

    async def report(self, report_id: UUID) -> StoredReport | None:
        self._check()
        return self.bodies[report_id][1] if report_id in self.bodies else None

    async def known(self, providers: Collection[str]) -> list[Known]:
        self._check()
        return []

    async def under_way(self) -> list[UnderWay]:
        self._check()
        counts = Counter((task.provider, task.status, task.overdue) for task in self.by_id.values())
        return [UnderWay(*kind, count) for kind, count in counts.items() if not kind[1].terminal]

    async def links_dying(self, *, before: datetime, waits_since: datetime) -> int:
        return self.dying

    async def next_due(self) -> Mapping[Queue, datetime]:
        self._check()
        return self.due

    async def ping(self) -> None:
        self.pings += 1
        self._check()

    @property
    def outbox(self) -> Outbox:
        """Endpoints are looked at over the real store; here there are none."""
        return cast("Outbox", NoEndpoints(self))

    def put(self, task: Task) -> Task:
        """Keep a task as it is."""
        self.by_id[task.id] = task
        return task

    def record(self, task_id: UUID, kind: str, data: Mapping[str, object], at: datetime = NOON) -> None:
        """Add a line to a timeline."""
        seq = 1 + sum(event.task_id == task_id for event in self.recorded)
        self.recorded.append(RecordedEvent(len(self.recorded) + 1, task_id, seq, kind, at, data))

    def keep_report(self, task: Task, body: bytes, *, object_key: str | None = None) -> UUID:
        """Keep a report of a task."""
        report = StoredReport(
            id=uuid4(),
            task_key=task.key,
            provider=task.provider,
            via=Via.CALLBACK,
            received_at=NOON,
            body=b"" if object_key else body,
            size=len(body),
            object_key=object_key,
            duplicate_of=None,
            attempts=1,
        )
        self.bodies[report.id] = (task.id, report)
        return report.id

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


@dataclass
class NoEndpoints:
    """An outbox without endpoints."""

    store: MemoryStore

    async def endpoints(self) -> list[Endpoint]:
        self.store._check()
        return []

    async def endpoint(self, endpoint_id: UUID) -> None:
        self.store._check()

    async def change_endpoint(self, endpoint_id: UUID, change: object) -> None:
        self.store._check()

    async def remove_endpoint(self, endpoint_id: UUID, now: datetime) -> bool:
        self.store._check()
        return False

    async def standing(self) -> tuple[dict[EndpointStatus, int], None]:
        self.store._check()
        return {}, None

    async def dead(self) -> int:
        self.store._check()
        return 0

    async def backlogs(self, endpoint_ids: Collection[UUID]) -> dict[UUID, Backlog]:
        self.store._check()
        return {}

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        self.store._check()

    async def deliveries(self, wanted: DeliveryFilter) -> list[Delivery]:
        self.store._check()
        return []

    async def redrive(self, wanted: DeliveryFilter, now: datetime) -> tuple[int, None]:
        self.store._check()
        return 0, None

    async def withheld(self, wanted: DeliveryFilter) -> dict[UUID, int]:
        self.store._check()
        return {}

    async def delivery(self, delivery_id: UUID) -> None:
        self.store._check()


def _fits(task: Task, wanted: TaskFilter) -> bool:
    return (
        wanted.status in {None, task.status}
        and wanted.provider in {None, task.provider}
        and (wanted.created_after is None or task.created_at >= wanted.created_after)
        and (wanted.created_before is None or task.created_at < wanted.created_before)
        and wanted.metadata.items() <= task.metadata.items()
        and (wanted.before_key is None or task.key < wanted.before_key)
    )


@dataclass(frozen=True, slots=True)
class FakeProvider:
    """As much of a provider as asking for a task needs."""

    name: str
    configured: bool = True
    requests_per_second: float | None = None
    searches_per_second: float | None = None
    bills_failures: bool | None = None
    recovery: Recovery = Recovery.RESEND

    @property
    def pushes(self) -> bool:
        return self.name == "runware"

    def check(self, request: TaskRequest) -> Checked:
        problems = () if len(request.prompt) >= 10 else (FieldProblem("prompt", "must have 10 to 300 characters"),)
        warnings = (FieldWarning("lyrics", "has few lines"),) if request.lyrics == "la" else ()
        return Checked(replace(request, model=request.model or f"{self.name}:music"), problems, warnings)

    def adoptable(self, provider_task_id: str, count: int | None) -> Adoptable:
        problems = (FieldProblem("provider_task_id", "must be an id"),) if " " in provider_task_id else ()
        return Adoptable(provider_task_id, count or 1, problems)

    def provider_task_id(self, task_id: UUID) -> str | None:
        return str(task_id) if self.name == "runware" else None

    def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
        return None


@dataclass(slots=True)
class World:
    """Everything around the web side, and the ports that lead to it."""

    system: FakeSystem = field(default_factory=FakeSystem)
    store: MemoryStore = field(default_factory=MemoryStore)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    woken: list[Queue] = field(default_factory=list)
    tokens: TokenSigner = field(
        default_factory=lambda: TokenSigner([SigningKey("first", b"k" * 32)], installation=b"i" * 16)
    )
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        providers = {name: cast("Provider", FakeProvider(name)) for name in ("aimlapi", "runware")}
        self.ports = Ports(
            store=cast("Store", self.store),
            objects=cast("Objects", self.objects),
            outbound=cast("Outbound", Calls()),
            providers=providers,
            system=self.system,
            tokens=self.tokens,
            probe=probe,
            metrics=self.metrics,
            limits=Limits(public_url="https://hooks.example.org"),
            wake=self.woken.append,
            notifying=Notifying(vault=FernetVault([SigningKey("first", b"k" * 32)])),
        )

    def token(
        self,
        subject: UUID,
        *,
        purpose: Purpose = Purpose.CALLBACK,
        provider: str = "runware",
        lifetime: timedelta = timedelta(hours=1),
    ) -> str:
        """Issue a token."""
        return self.tokens.issue(purpose, provider, subject, self.system.now() + lifetime)

    def task(self, **fields: Any) -> Task:  # noqa: ANN401 - fields of a Task
        """Keep a task and return it."""
        plain = Task(
            key=self.system.new_key(),
            id=uuid4(),
            request=TaskRequest(
                provider="runware",
                prompt="bossa nova, nylon guitar",
                reference_audio="https://files.example.org/in.mp3",
                model="minimax:music@cover",
            ),
            model="minimax:music@cover",
            created_at=self.system.now(),
            deadline_seconds=1800,
        )
        return self.store.put(replace(plain, **fields))

    def stored_result(self, audio: bytes, *, media_type: str = "audio/mpeg", index: int = 0) -> Result:
        """Return a result whose audio lies in the object store."""
        result = a_result(index=index)
        key = f"audio/{result.id}"
        self.objects.kept[key] = audio
        artifact = Artifact(
            status=ArtifactStatus.STORED,
            object_key=key,
            size=len(audio),
            sha256=SHA256,
            media_type=media_type,
            duration_seconds=12.3,
        )
        return replace(result, artifact=artifact)


def a_result(*, index: int = 0) -> Result:
    """Return a result whose audio is not here yet."""
    return Result(
        id=uuid4(),
        index=index,
        identity=f"audio-{index}",
        via=Via.CALLBACK,
        received_at=NOON,
        report_id=uuid4(),
        provider_result_id=f"audio-{index}",
        seed=41,
        cost_micros=150_000,
        link="https://am.example.org/audio.mp3?signature=abc",
    )
