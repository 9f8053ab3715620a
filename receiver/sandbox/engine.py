"""Accepts generations, draws their fate, and brings each result to its end."""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVarTuple

import anyio
from anyio.abc import TaskGroup

from receiver.sandbox.chance import Chance
from receiver.sandbox.faults import MEDIA_SECONDS, Faults
from receiver.sandbox.generation import Artifact, Failure, Generation, Order, Provider, Result
from receiver.sandbox.state import State
from receiver.sandbox.tune import Recipe

_log = logging.getLogger("receiver.sandbox")
_UNSIGNED_32_BIT = 1 << 32
_Arguments = TypeVarTuple("_Arguments")

_FAILURES = {
    Provider.RUNWARE: Failure("timeoutProvider", "The external provider did not respond within the timeout window."),
    Provider.AIMLAPI: Failure("GenerationError", "The upstream model could not produce this generation."),
}


class Outbox(Protocol):
    """What is told of each generation that has begun and of each result that has come to its end."""

    async def begin(self, generation: Generation) -> None:
        """Tell that a generation has begun, where that is told at all."""

    async def send(self, generation: Generation, result: Result) -> None:
        """Tell whoever asked to be told; returns when nothing more will be sent."""


class Engine:
    """Runs every accepted generation as tasks of one task group, so that none outlives the sandbox."""

    def __init__(self, state: State, group: TaskGroup, outbox: Outbox) -> None:
        """Keep the sandbox's state, the task group of its lifespan, and who is told of results."""
        self._state = state
        self._group = group
        self._outbox = outbox

    def accept(self, order: Order, make_id: Callable[[Chance], str]) -> Generation:
        """Return a new generation that has begun; `make_id` names it where the order brings no id."""
        state = self._state
        chance = Chance(state.config.seed, order.provider.value, len(state.generations[order.provider]) + 1)
        faults = state.faults_for(order.provider)
        early = order.webhook_url is not None and chance.hits(faults.early, "early")
        time_scale = 0.0 if early else state.config.time_scale
        generation = Generation(
            order=order,
            chance=chance,
            id=order.id or make_id(chance),
            calls_back_early=early,
            accepted_at=datetime.now(UTC),
            accepted_clock=anyio.current_time(),
            results=tuple(_result(index, order, chance, faults, time_scale) for index in range(order.count)),
        )
        state.add(generation)
        if order.webhook_url is not None:
            self._start(self._outbox.begin, generation)
        for result in generation.results:
            self._start(self._run, generation, result)
        return generation

    def _start(self, job: Callable[[*_Arguments], Awaitable[None]], *arguments: *_Arguments) -> None:
        """Start one job, counted until everything it had to send is sent or given up."""

        async def counted() -> None:
            try:
                await _guarded(job, *arguments)
            finally:
                self._state.under_way -= 1

        self._state.under_way += 1
        self._group.start_soon(counted)

    async def _run(self, generation: Generation, result: Result) -> None:
        """Bring one result to its end and tell of it."""
        if result.stalls:
            return
        due = generation.accepted_clock + result.seconds
        # Rendered ahead of its time: the length of a generation is what the faults say, not what this machine can.
        audio = b"" if result.fails else await self._state.studio.render(result.recipe, result.encoding)
        await anyio.sleep_until(due)
        provider = generation.order.provider
        if result.fails:
            result.failure = _failure(provider, self._state.faults_for(provider).fail_code)
        else:
            result.artifact = self._artifact(generation, result, audio)
        if all(other.artifact or other.failure for other in generation.results):
            generation.finished_clock = anyio.current_time()
            generation.finished.come()
        await self._outbox.send(generation, result)

    def _artifact(self, generation: Generation, result: Result, audio: bytes) -> Artifact:
        """Return the finished audio's facts, with its link unless it is delivered inline."""
        order = generation.order
        now = datetime.now(UTC)
        url: str | None = None
        expires_at: datetime | None = None
        if not order.inline:
            expires_at = now + timedelta(seconds=_lifetime(order, self._state.faults_for(order.provider)))
            url = self._state.links.make(generation, result, expires_at)
        return Artifact(url, len(audio), hashlib.sha256(audio).hexdigest(), now, expires_at)


def sign_anew(state: State, generation: Generation) -> None:
    """Give finished results a fresh link before a look, where the switch `fresh_links` says so."""
    faults = state.faults_for(generation.order.provider)
    if not faults.fresh_links:
        return
    expires_at = datetime.now(UTC) + timedelta(seconds=_lifetime(generation.order, faults))
    for result in generation.results:
        if result.artifact is not None and result.artifact.url is not None:
            url = state.links.make(generation, result, expires_at)
            result.artifact = replace(result.artifact, url=url, url_expires_at=expires_at)


async def _guarded(job: Callable[[*_Arguments], Awaitable[None]], *arguments: *_Arguments) -> None:
    """Run one job; its failure is logged and stays its own."""
    try:
        await job(*arguments)
    except Exception:  # noqa: BLE001 - the one place where a bug must not take the whole sandbox down
        _log.exception("sandbox job failed")


def _result(index: int, order: Order, chance: Chance, faults: Faults, time_scale: float) -> Result:
    """Return a result with its fate drawn; the first has the seed that was asked for (Runware docs, seed)."""
    drawn_seed = chance.bits("seed", index) % _UNSIGNED_32_BIT
    seed = drawn_seed if order.seed is None or index > 0 else order.seed
    return Result(
        index=index,
        id=chance.uuid4("result", index),
        seed=seed,
        recipe=Recipe(
            key=f"{chance.seed}/{chance.provider}/{chance.ordinal}/{index}/{seed}",
            seconds=round(chance.between(*faults.tune_seconds, "tune", index), 3),
            rate=order.encoding.possible_rate,
        ),
        encoding=order.encoding,
        seconds=chance.between(*faults.seconds, "seconds", index) * time_scale,
        stalls=chance.hits(faults.stall, "stall"),
        fails=chance.hits(faults.fail, "fail", index),
    )


def _failure(provider: Provider, code: str | None) -> Failure:
    """Return the provider's usual failure, or one of the given code."""
    usual = _FAILURES[provider]
    return usual if code in {None, usual.code} else Failure(str(code), f"The generation failed: {code}.")


def _lifetime(order: Order, faults: Faults) -> float:
    """Return the seconds a link lives: its ttl, else the usual time; a usual time below a day cuts ttl short."""
    if order.ttl_seconds is None:
        return faults.media_seconds
    is_cut_short = faults.media_seconds < MEDIA_SECONDS
    return min(order.ttl_seconds, faults.media_seconds) if is_cut_short else order.ttl_seconds
