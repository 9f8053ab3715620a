"""Time, network, files and measures, and ``Ports``, which hands all of them to a step."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from receiver.domain.collection import FIRST_REFUSAL_GAP
from receiver.domain.delivery import Told
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.learning import Learned
from receiver.domain.token import TokenSigner
from receiver.lifecycle.ports.outbox import Notifying
from receiver.lifecycle.ports.provider import Provider
from receiver.lifecycle.ports.store import Answer, ChangeStanding, Queue, Store


class System(Protocol):
    """Time, chance and identity."""

    def now(self) -> datetime:
        """Return the time, aware, UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never jumps."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def new_id(self) -> UUID:
        """Return a random UUID v4."""

    def new_key(self) -> UUID:
        """Return a time-ordered UUID v7."""

    def jitter(self) -> float:
        """Return a random number in [0, 1)."""

    def checkpoint(self, name: str) -> None:
        """Mark a step by name for the fault harness; nothing in production."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A download that lies complete in a local file: ``size`` in bytes, ``sha256`` in hex."""

    path: Path
    size: int
    sha256: str


class Outbound(Protocol):
    """HTTP to the world outside; connects to checked addresses only."""

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        """Send to a provider's API. Raises NotSentError or AnswerLostError; no redirects are followed."""

    def trouble(self, provider: str) -> str | None:
        """Why the last call to a provider's API got no answer, or none of use (5xx); None when it did."""

    async def notify(self, request: HttpRequest) -> Told:
        """Send a notification and tell what came of it; nothing of the answer but its status is kept."""

    async def refusal_to_notify(self, url: str) -> str | None:
        """Say why nothing can be sent to a URL, in words for whoever wrote it; None when it can."""

    async def fetch(self, link: str, into: Path, *, max_bytes: int, timeout_seconds: float) -> Fetched:
        """Download media into a new file. Raises MediaRefusedError or MediaInterruptedError, leaving no file."""


class Objects(Protocol):
    """The artifact store: named byte strings, durable when a call returns."""

    async def gather(self, chunks: AsyncIterable[bytes]) -> Fetched:
        """Write what comes into a new scratch file, a piece at a time.

        Raises UnavailableError, and whatever ``chunks`` raises; then no file stays.
        """

    async def keep_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Move a local file into the store. Raises MediaInterruptedError when the store cannot take it.

        Other bytes that lie there are in its way, unless they are to be replaced.
        """

    async def keep_bytes(self, data: bytes, key: str) -> None:
        """Store bytes. Raises UnavailableError when the store cannot take them."""

    async def read(self, key: str) -> bytes:
        """Return an object whole. Raises NotFoundError, UnavailableError."""

    def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the bytes ``start`` up to and without ``end``. Raises NotFoundError, UnavailableError on entry."""

    async def link(self, key: str, seconds: int) -> str | None:
        """Return a link by which anybody may fetch an object for so long; None where there can be none.

        Raises UnavailableError. Nobody looks whether the object is there.
        """

    async def remove(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""

    async def newest(self, folder: str, most: int) -> list[str]:
        """Return the keys right below a folder, at most so many, those that sort last. Raises UnavailableError."""

    def scratch(self) -> Path:
        """Return a path for a new temporary file on the store's own disk when it has one."""

    def where(self, key: str) -> str:
        """Return where an object lies, as an operator would look for it: a path or a URL."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a file was found to be, by its content: ``extension`` without a dot."""

    media_type: str
    extension: str
    duration_seconds: float | None


#: Looks into a file and returns what audio it is. The second argument is the format that was asked for, needed for
#: headerless PCM (``("pcm", sample_rate)``), else None. Raises MediaRefusedError for what is not whole audio.
Probe = Callable[[Path, tuple[str, int] | None], Probed]


class Metrics(Protocol):
    """Counters, gauges and durations, named after the promises; labels come from closed sets."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, *seconds: float, **labels: str) -> None:
        """Record durations."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Say what is true now."""

    def forget(self, name: str) -> None:
        """Say that it is not known any more what a gauge was last said to be."""


@dataclass(slots=True)
class Schedules:
    """What was learned of when to look, by provider, model; replaced as new tasks end.

    ``unheard`` is the share of tasks without a callback, of providers at which that is too many.
    """

    learned: Mapping[tuple[str, str], Learned] = field(default_factory=dict)
    unheard: Mapping[str, float] = field(default_factory=dict)


class Standings(Protocol):
    """Where it is kept how we stand with each provider."""

    async def change(self, provider: str, change: ChangeStanding[Answer]) -> Answer:
        """Let ``change``, which is pure, happen to a standing while nobody else changes it, and return its answer.

        Raises UnavailableError.
        """


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what belongs to a task is kept after its end; None: for ever."""

    audio: timedelta | None = None
    reports: timedelta | None = None
    tasks: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes and times that the user may set."""

    public_url: str | None = None
    deadline: timedelta = timedelta(seconds=1800)
    queue_max: timedelta = timedelta(days=1)
    lost_after: timedelta = timedelta(days=1)
    lease: timedelta = timedelta(seconds=120)
    max_callback_bytes: int = 96 * 1024 * 1024
    spool_bytes: int = 256 * 1024
    max_media_bytes: int = 512 * 1024 * 1024
    media_timeout_seconds: float = 300.0
    refusal_gap: timedelta = FIRST_REFUSAL_GAP
    max_brackets: int = 100_000
    unused_input: timedelta = timedelta(days=1)
    max_unused_inputs: int = 1000
    max_unused_input_bytes: int = 4 * 1024**3
    poll_cost_seconds: float = 1.0
    retention: Retention = Retention()


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a step may use. ``wake`` tells the worker that a queue has work; losing a hint costs only time."""

    store: Store
    objects: Objects
    outbound: Outbound
    providers: Mapping[str, Provider]
    system: System
    tokens: TokenSigner
    probe: Probe
    metrics: Metrics
    limits: Limits
    wake: Callable[[Queue], None]
    schedules: Schedules = field(default_factory=Schedules)
    notifying: Notifying = field(default_factory=Notifying)
