"""Collect: bring a result's audio into our own storage, checked, before its link dies.

A download may take much longer than a claim lasts, so claims are short and prolonged while it is under way: after a
worker has died, another one begins soon. A claim that could not be prolonged ends; whoever had it records nothing
more, as somebody else may be making the same file by then.
"""

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from anyio import to_thread

from receiver.domain.collection import Kept, collected, interrupted, refused
from receiver.domain.errors import (
    MediaInterruptedError,
    MediaRefusedError,
    NotFoundError,
    UnavailableError,
)
from receiver.domain.result import Result
from receiver.domain.task import Task
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.ports import ArtifactWork, Decide, Decision, Fetched, Ports, Queue
from receiver.lifecycle.record import record

#: What AIMLAPI documents as the sample rate of PCM when none is asked for, in Hz.
_DEFAULT_SAMPLE_RATE = 44100


@dataclass(slots=True)
class Hold:
    """A claim on one result; ``until`` when it lasts at least, by the clock that never jumps."""

    result_id: UUID
    until: float


def hold(ports: Ports, work: ArtifactWork) -> Hold:
    """Return the claim on work that is leased just now."""
    return Hold(work.result_id, ports.system.monotonic() + ports.limits.lease.total_seconds())


async def prolong(ports: Ports, holds: Collection[Hold]) -> None:
    """Let claims last a whole lease from now on, those that are still ours. Raises UnavailableError."""
    until = ports.system.monotonic() + ports.limits.lease.total_seconds()
    ours = await ports.store.prolong_artifacts(
        [held.result_id for held in holds], now=ports.system.now(), lease=ports.limits.lease
    )
    for held in holds:
        held.until = until if held.result_id in ours else ports.system.monotonic()


class _ClaimOverError(Exception):
    """Somebody else may have this work by now."""


async def lease(ports: Ports, limit: int) -> list[ArtifactWork]:
    """Claim results whose audio is to be fetched."""
    now = ports.system.now()
    leased = await ports.store.lease_artifacts(now=now, limit=limit, lease=ports.limits.lease)
    due = [result.artifact.due_at for work in leased for result in work.task.results if result.id == work.result_id]
    observe_lateness(ports, Queue.COLLECT, due, now)
    return leased


async def collect(
    ports: Ports,
    work: ArtifactWork,
    claim: Hold | None = None,
    *,
    decoding: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Fetch, check and keep the audio of one leased result, and record how that went.

    ``claim`` is what somebody prolongs meanwhile; without one it lasts a lease. ``decoding`` is held while inline
    audio is decoded: that takes several times the memory of the audio.
    """
    try:
        await _collect(ports, work, claim or hold(ports, work), decoding or contextlib.nullcontext())
    except _ClaimOverError:
        ports.metrics.count("media_interrupted", provider=work.task.provider)
    ports.wake(Queue.POLL)


async def _collect(
    ports: Ports, work: ArtifactWork, claim: Hold, decoding: AbstractAsyncContextManager[object]
) -> None:
    task = work.task
    result = next((result for result in task.results if result.id == work.result_id), None)
    if result is None:
        await ports.store.release_artifact(work.result_id)
        return
    started = ports.system.monotonic()
    path = ports.objects.scratch()
    jitter = ports.system.jitter()
    try:
        kept = await _take_in(ports, task, result, path, decoding, claim)
    except MediaRefusedError as error:
        reason, now = str(error), ports.system.now()
        await _record(
            ports, task, claim, lambda current: refused(current, result.id, reason, now, ports.limits.refusal_gap)
        )
        ports.metrics.count("media_refused", provider=task.provider)
    except (MediaInterruptedError, UnavailableError, OSError) as error:
        # The file system's own error, where our steps touch a file between fetching and keeping, is a passing one.
        reason = f"our disk: {error.strerror}" if isinstance(error, OSError) else str(error)
        now = ports.system.now()
        gap = ports.limits.refusal_gap
        await _record(ports, task, claim, lambda current: interrupted(current, result.id, reason, now, jitter, gap))
        ports.metrics.count("media_interrupted", provider=task.provider)
    except Exception as error:  # noqa: BLE001 - a file that breaks our own checks must not be fetched for ever
        reason, now = f"an unexpected fault: {type(error).__name__}", ports.system.now()
        await _record(
            ports, task, claim, lambda current: refused(current, result.id, reason, now, ports.limits.refusal_gap)
        )
        ports.metrics.count("media_broke_us", provider=task.provider)
    else:
        ports.system.checkpoint("collect.after_keep")
        await _keep(ports, task, result, kept, claim)
        ports.metrics.observe("collect_seconds", ports.system.monotonic() - started, provider=task.provider)
        ports.system.checkpoint("collect.after_record")
    finally:
        # A folder that is away, or no folder any more, holds nothing to be removed.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


async def _keep(ports: Ports, task: Task, result: Result, kept: Kept, claim: Hold) -> None:
    """Record audio that lies in the store.

    Meanwhile another result may have come into its place, or it may have been given up: then it is removed, unless
    others have the same.
    """
    now = ports.system.now()
    await _record(
        ports, task, claim, lambda current: collected(current, result.id, kept, now), kept.object_key, of=result.id
    )


async def _take_in(
    ports: Ports,
    task: Task,
    result: Result,
    path: Path,
    decoding: AbstractAsyncContextManager[object],
    claim: Hold,
) -> Kept:
    if result.inline:
        async with decoding:
            fetched = await _inline(ports, task, result, path)
    elif result.link is not None:
        fetched = await ports.outbound.fetch(
            result.link,
            path,
            max_bytes=ports.limits.max_media_bytes,
            timeout_seconds=ports.limits.media_timeout_seconds,
        )
    else:
        raise MediaRefusedError("the provider named neither a link nor inline audio")
    ports.system.checkpoint("collect.after_fetch")
    probed = await to_thread.run_sync(ports.probe, fetched.path, _wanted(task))
    # Two results with the same bytes share an object.
    object_key = f"audio/{fetched.sha256[:2]}/{fetched.sha256}.{probed.extension}"
    left = await _left(ports, claim)
    # Written down before it is made: whatever happens to us then, somebody knows of it.
    if not await ports.store.claim_object(object_key, result.id, now=ports.system.now(), lease=left):
        raise MediaInterruptedError("the same audio is being removed just now")
    ports.system.checkpoint("collect.after_claim")
    # What else may lie under the name of these bytes was damaged.
    await ports.objects.keep_file(fetched.path, object_key, replace=True)
    return Kept(object_key, fetched.size, fetched.sha256, probed.media_type, probed.duration_seconds)


async def _inline(ports: Ports, task: Task, result: Result, path: Path) -> Fetched:
    """Decode the audio out of the report that carried it."""
    report = await ports.store.report(result.report_id)
    if report is None:
        raise MediaRefusedError("the report that carried the audio is gone")
    body = report.body
    if report.object_key is not None:
        try:
            body = await ports.objects.read(report.object_key)
        except NotFoundError:
            raise MediaRefusedError("the report that carried the audio is gone") from None
    reading = await to_thread.run_sync(ports.providers[task.provider].read, body, report.via)
    text = next((output.inline for output in reading.outputs if output.identity == result.identity), None)
    if text is None:
        raise MediaRefusedError("the report that carried the audio no longer shows it")
    return await to_thread.run_sync(_write, text, path)


def _write(text: str, path: Path) -> Fetched:
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        audio = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MediaRefusedError("the inline audio is not whole base64") from None
    path.write_bytes(audio)
    return Fetched(path, len(audio), hashlib.sha256(audio).hexdigest())


async def _record(
    ports: Ports, task: Task, claim: Hold, decide: Decide, *objects: str, of: UUID | None = None
) -> None:
    # Within the claim: later, somebody else may be replacing the file that this would speak of.
    await record(ports, [Decision(task.key, decide, objects=objects, holder=of)], within=await _left(ports, claim))


async def _left(ports: Ports, claim: Hold) -> timedelta:
    """Return how long a claim lasts; raise _ClaimOverError when it does no more.

    After a machine has slept every claim seems over. The store knows better: what nobody has taken up is still ours,
    and to let go of it would leave it lying there, prolonged for nobody.
    """
    if claim.until <= ports.system.monotonic():
        await prolong(ports, [claim])
    left = claim.until - ports.system.monotonic()
    if left <= 0:
        raise _ClaimOverError
    return timedelta(seconds=left)


def _wanted(task: Task) -> tuple[str, int] | None:
    if (task.request.output_format or "").lower() != "pcm":
        return None
    return "pcm", task.request.sample_rate or _DEFAULT_SAMPLE_RATE
