"""Whatever a provider, or whoever knows a task's URL, sends: it concerns its own task, and everything goes on.

Bodies are recorded payloads with values changed, values drawn from the providers' own vocabulary, and bytes. They
come as callbacks and as answers to polls, into a real store, through the real steps; beside each stands an honest
callback of another task, which must not suffer. The cases are the same at every run.
"""

import asyncio
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from receiver.cli.portrait import portrait
from receiver.domain.delivery import DeliveryError
from receiver.domain.endpoint import EndpointStatus
from receiver.domain.event import EventType
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.report import Verdict, Via
from receiver.domain.request import TaskRequest
from receiver.domain.task import Change, Status, Task, Work
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle import poll, settle
from receiver.lifecycle.accept import accept
from receiver.lifecycle.ports import Limits, Outbound, Ports, Queue, RecordedEvent
from receiver.sdk.values import events_of, task_of
from receiver.storage.objects import open_objects
from receiver.storage.probe import probe
from receiver.storage.store import open_store
from receiver.system import RealSystem
from receiver.telemetry import PrometheusMetrics
from receiver.web.context import answer_json
from receiver.web.present import Presenter
from receiver.web.redaction import Redactor
from tests.domain.making import watched
from tests.lifecycle.strangers import HONEST, LINKS, NAMES, Sent, sendings
from tests.providers.cases import GENERATION, RUNWARE_TASK, provider

MOST_MICROS = 10_000 * 1_000_000
#: What a reason may take in a line of the timeline, and a word that is shown.
LONGEST_REASON = 500
MOVES = {
    Status.SUBMITTED: {Status.SUBMITTED, Status.COLLECTING, Status.FAILED},
    Status.UNKNOWN: {Status.UNKNOWN, Status.SUBMITTED, Status.COLLECTING, Status.FAILED},
    Status.LOST: {Status.LOST, Status.COLLECTING, Status.FAILED},
    Status.CANCELLED: {Status.CANCELLED},
}
ENDINGS = {
    EventType.TASK_SUCCEEDED,
    EventType.TASK_PARTIAL,
    EventType.TASK_FAILED,
    EventType.TASK_LOST,
    EventType.TASK_CANCELLED,
}


# ------------------------------------------------------------------ the world
@dataclass
class Answering:
    """The network: every call is answered alike."""

    answer: HttpAnswer = field(default_factory=lambda: HttpAnswer(200, {}, b""))

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        del provider, request
        return self.answer

    def trouble(self, provider: str) -> None:
        """Nothing keeps this network from the provider."""


@dataclass
class World:
    """A store and the steps, open for all cases of a test: they differ in their tasks."""

    runner: asyncio.Runner
    ports: Ports
    network: Answering
    metrics: PrometheusMetrics
    present: Presenter

    async def task(self, name: str, status: Status, count: int) -> Task:
        """A task the provider has, or perhaps has."""
        system, now = self.ports.system, self.ports.system.now()
        task_id = system.new_id()
        task = Task(
            key=system.new_key(),
            id=task_id,
            request=TaskRequest(name, "a prompt long enough", "https://files.example.org/a.mp3", count=count),
            model="minimax:music@cover",
            created_at=now,
            deadline_seconds=600,
            status=status,
            pushed=name == "runware",
            provider_task_id=str(task_id) if name == "runware" else f"gen-{task_id.hex[:17]}",
            submitted_at=None if status is Status.UNKNOWN else now,
            unknown_since=now if status is Status.UNKNOWN else None,
            completed_at=now if status.terminal else None,
            deadline_at=now + timedelta(seconds=600),
            work=None if status.terminal else Work.POLL,
            due_at=None if status.terminal else now,
        )
        await self.ports.store.create(Change(task))
        return task

    async def current(self, task: Task) -> Task:
        found = await self.ports.store.task(task.id)
        assert found is not None
        return found

    async def receive(self, task: Task, sent: Sent) -> None:
        """Let a body arrive as the provider, or whoever speaks in its name, sends it."""
        body = sent.body.replace(b"{TASK}", str(task.id).encode())
        body = body.replace(b"{GENERATION}", (task.provider_task_id or "").encode())
        body = body.replace(str(RUNWARE_TASK).encode(), str(task.id).encode())
        body = body.replace(GENERATION.encode(), (task.provider_task_id or "").encode())
        if not sent.polled:
            await accept(self.ports, provider=task.provider, task_key=task.key, body=body, headers={})
            return
        self.network.answer = HttpAnswer(sent.status, sent.headers, body)
        await poll.poll(self.ports, self.ports.providers[task.provider], [watched(await self.current(task))])

    async def settle(self) -> int:
        """Settle everything that waits, in one batch, and return how many that were."""
        reports = await settle.lease(self.ports, 256)
        await settle.settle_reports(self.ports, reports)
        return len(reports)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("strangers")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        network = Answering()
        metrics = PrometheusMetrics()
        ports = runner.run(_ports(stack, folder, network, metrics))
        redactor = Redactor(ports.tokens, ("a-key-of-ours-that-nobody-sent",), ports.system.sleep)
        yield World(runner, ports, network, metrics, Presenter(ports, redactor))
        runner.run(stack.aclose())


async def _ports(stack: AsyncExitStack, folder: Path, network: Answering, metrics: PrometheusMetrics) -> Ports:
    return Ports(
        store=await stack.enter_async_context(open_store(folder / "receiver.db")),
        objects=await stack.enter_async_context(open_objects(str(folder / "artifacts"))),
        outbound=cast("Outbound", network),
        providers={name: provider(name) for name in NAMES},
        system=RealSystem(),
        tokens=TokenSigner((SigningKey("k", bytes(32)),), bytes(16)),
        probe=probe,
        metrics=metrics,
        limits=Limits(spool_bytes=128 * 1024),
        wake=lambda _: None,
    )


# ------------------------------------------------------------------ what must be true of a task
async def assert_sound(world: World, before: Task, after: Task) -> None:
    reports = await world.ports.store.reports(after.id)
    events = await world.ports.store.events(after.id)
    assert after.status in MOVES[before.status]
    assert len(after.results) <= after.expected
    assert [result.index for result in after.results] == list(range(len(after.results)))
    assert len({result.identity for result in after.results}) == len(after.results)
    trusts = world.ports.providers[after.provider].trusts
    for result in after.results:
        assert result.link is None or result.via is not Via.CALLBACK or trusts(result.link)
    for micros in (after.told_cost_micros, *(result.cost_micros for result in after.results)):
        assert micros is None or 0 <= micros <= MOST_MICROS
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    found = sum(event.type == EventType.TASK_FOUND for event in events)
    assert sum(event.type in ENDINGS for event in events) <= 1 + found
    for report in reports:
        assert report.verdict is not None
        if report.verdict in {Verdict.QUARANTINED, Verdict.CONFLICT}:
            assert report.reason
            assert len(report.reason) <= LONGEST_REASON
    assert after.callbacks == sum(report.via is Via.CALLBACK for report in reports)
    await assert_shown(world, after, events)


async def assert_shown(world: World, task: Task, events: list[RecordedEvent]) -> None:
    """Every answer is JSON in UTF-8, and what a person reads of it does nothing to the terminal."""
    reports = await world.ports.store.reports(task.id)
    shown: list[Mapping[str, object]] = [
        await world.present.task(task),
        {"data": [world.present.event(event) for event in events]},
        {"data": [world.present.report(task.id, report) for report in reports]},
    ]
    document, timeline, _ = [json.loads(bytes(answer_json(each).body)) for each in shown]
    now = world.ports.system.now()
    page = io.StringIO()
    console = Console(file=page, force_terminal=False, markup=False, emoji=False, highlight=False, width=100)
    for line in portrait(task_of(document), now, events=events_of(timeline), width=100):
        console.print(line, soft_wrap=True)
    page.getvalue().encode("utf-8", "strict")
    assert not {letter for letter in page.getvalue() if ord(letter) < 32 or 127 <= ord(letter) < 160} - {"\n"}
    assert not set("\u202e\u2066\u200b") & set(page.getvalue())


async def one_case(world: World, name: str, status: Status, count: int, sent: list[Sent]) -> None:
    task, witness = await world.task(name, status, count), await world.task(name, Status.SUBMITTED, 1)
    for each in sent:
        await world.receive(task, each)
    await world.receive(witness, Sent(HONEST[name], polled=False))
    assert await world.settle() >= 1
    assert await settle.lease(world.ports, 1) == [], "nothing is left behind"
    told = await world.current(witness)
    assert told.status is Status.COLLECTING, "an honest callback in the same batch settles"
    assert [result.link for result in told.results] == [LINKS[name]]
    await assert_sound(world, task, await world.current(task))


@pytest.mark.parametrize("name", NAMES)
def test_no_body_stops_settling_or_harms_another_task(world: World, name: str) -> None:
    @given(
        status=st.sampled_from([*[Status.SUBMITTED] * 4, *MOVES]),
        count=st.sampled_from([1, 2, 4] if name == "runware" else [1]),
        sent=st.lists(sendings(name), min_size=1, max_size=4),
    )
    @settings(
        deadline=None,
        max_examples=100,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def check(status: Status, count: int, sent: list[Sent]) -> None:
        world.runner.run(one_case(world, name, status, count, sent))

    check()
    labels = {
        (name, value)
        for metric in world.metrics.registry.collect()
        for sample in metric.samples
        for name, value in sample.labels.items()
        if name != "le"
    }
    ours: dict[str, Iterable[str]] = {
        "provider": NAMES,
        "via": Via,
        "queue": Queue,
        "outcome": ("sent", "failed", "dead"),
        "error": ("none", *DeliveryError),
        "status": EndpointStatus,
    }
    assert labels <= {(name, str(word)) for name, words in ours.items() for word in words}
