"""Runware's callbacks and uploads: one callback for each result, retried, and at will lost, doubled, late or broken.

Runware docs, webhooks page: POST of JSON, 2xx confirms, else delivered again. Runware's skills repository: 5 s a
call, retries after 250 ms doubling to 8 s, with jitter. How often is not published: `callback_attempts` decides.
"""

import ipaddress
from datetime import UTC, datetime

import anyio
import httpx

from receiver.sandbox.courier import Answer, Courier, is_confirmed
from receiver.sandbox.encode import MEDIA_TYPES
from receiver.sandbox.generation import Attempt, Generation, Provider, Result, Upload
from receiver.sandbox.runware_words import callback_body, processing_body
from receiver.sandbox.spoil import spoiled
from receiver.sandbox.state import State

_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 8.0
_REORDER_SECONDS = 2.0
_DUPLICATE_SECONDS = 1.0
_UPLOAD_TIMEOUT_SECONDS = 30.0


class Callbacks:
    """Sends what Runware sends by itself; AIMLAPI sends nothing (AIMLAPI docs: no callback parameter anywhere)."""

    def __init__(self, state: State, courier: Courier) -> None:
        """Keep the state and the courier."""
        self._state = state
        self._courier = courier

    async def begin(self, generation: Generation) -> None:
        """Push a callback of status processing for the share of tasks that asks for it."""
        faults = self._state.faults_for(generation.order.provider)
        if generation.order.webhook_url and generation.chance.hits(faults.processing, "processing"):
            await self._deliver(generation, generation.results[0], processing_body(generation, faults), 0)

    async def send(self, generation: Generation, result: Result) -> None:
        """Send the callback of one result, twice when that is drawn, and then its upload."""
        if generation.order.provider is not Provider.RUNWARE:
            return
        chance, faults = generation.chance, self._state.faults_for(Provider.RUNWARE)
        if chance.hits(faults.reorder, "reorder", result.index):
            await anyio.sleep(chance.between(0.0, _REORDER_SECONDS, "reorder by", result.index))
        tried = anyio.Event()
        async with anyio.create_task_group() as group:
            if generation.order.upload_url and result.artifact:
                group.start_soon(self._upload, generation, result, tried)
            if generation.order.webhook_url and not chance.hits(faults.drop, "drop", result.index):
                body = await callback_body(self._state, generation, result)
                if chance.hits(faults.malformed, "malformed", result.index):
                    body = spoiled(body, chance, result.index)
                group.start_soon(self._deliver, generation, result, body, 1, tried)
                if chance.hits(faults.duplicate, "duplicate", result.index):
                    group.start_soon(self._repeat, generation, result, body)
            else:
                generation.called_back.come()
                tried.set()

    async def _repeat(self, generation: Generation, result: Result, body: bytes) -> None:
        """Deliver the same body once more: half of the copies at the same moment, half within a second."""
        wait = generation.chance.between(-_DUPLICATE_SECONDS, _DUPLICATE_SECONDS, "duplicate by", result.index)
        await anyio.sleep(max(0.0, wait))
        await self._deliver(generation, result, body, 2)

    async def _deliver(
        self, generation: Generation, result: Result, body: bytes, copy: int, tried: anyio.Event | None = None
    ) -> None:
        """Try one callback until it is confirmed or given up; `tried` is set after the first attempt."""
        faults = self._state.faults_for(Provider.RUNWARE)
        url = generation.order.webhook_url or ""
        for attempt in range(1, faults.callback_attempts + 1):
            sent_at = datetime.now(UTC)
            answer = await self._courier.send("POST", url, body, "application/json", faults.callback_seconds)
            generation.callbacks.append(
                Attempt(sent_at, attempt, copy, result.id, answer.status_code, answer.error, body)
            )
            if copy:
                generation.called_back.come()
            if tried is not None:
                tried.set()
            if is_confirmed(answer.status_code) or attempt == faults.callback_attempts:
                break
            longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
            await anyio.sleep(generation.chance.between(0.0, longest, "backoff", result.index, copy, attempt))

    async def _upload(self, generation: Generation, result: Result, tried: anyio.Event) -> None:
        """PUT the audio to the uploadEndpoint, some time after the callback; several results overwrite each other."""
        await tried.wait()
        await anyio.sleep(self._state.faults_for(Provider.RUNWARE).upload_seconds)
        url = generation.order.upload_url or ""
        sent_at, size = datetime.now(UTC), 0
        if _is_loopback(url):
            audio = await self._state.studio.render(result.recipe, result.encoding)
            media_type, size = MEDIA_TYPES[result.encoding.format], len(audio)
            answer = await self._courier.send("PUT", url, audio, media_type, _UPLOAD_TIMEOUT_SECONDS)
        else:
            answer = Answer(None, "NotLoopback")
        generation.uploads.append(Upload(sent_at, result.id, answer.status_code, answer.error, size))


def _is_loopback(url: str) -> bool:
    """Whether an upload stays on this machine: the sandbox writes nowhere else."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
