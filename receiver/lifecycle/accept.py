"""Accept one callback: make its bytes durable, and nothing else, before the provider is answered."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from anyio import to_thread

from receiver.domain.errors import TooManyBodiesError, UnavailableError
from receiver.domain.report import NewReport, Via
from receiver.lifecycle.ports import Appended, BodyLimits, Ports, Provider, Queue

#: Bodies up to this many bytes are judged where they are; a thread costs more than they do.
_JUDGED_AT_ONCE = 1024 * 1024


async def accept(ports: Ports, *, provider: str, task_key: UUID, body: bytes, headers: Mapping[str, str]) -> Appended:
    """Store a callback for the task its token names and return what it was.

    ``headers`` have lower-case names. Nothing is parsed: a body that cannot be read is found out later and kept all
    the same. Raises TooManyBodiesError for a task's 65th different body and UnavailableError for every fault of ours.
    """
    now = ports.system.now()
    adapter = ports.providers[provider]
    if len(body) <= _JUDGED_AT_ONCE:
        judged = _judged(adapter, headers, body, now)
    else:
        # To hash 96 MiB takes a third of a second.
        judged = await to_thread.run_sync(_judged, adapter, headers, body, now)
    report = _report(ports, provider, task_key, body=body, headers=headers, judged=judged, now=now)
    if report.object_key:
        await ports.objects.keep_bytes(body, report.object_key)
    ports.system.checkpoint("accept.before_append")
    try:
        appended = await ports.store.append(report, _limits(ports.limits.max_callback_bytes))
    except Exception as error:
        await not_accepted(ports, report, error)
        raise
    ports.system.checkpoint("accept.after_append")
    if report.object_key and appended is Appended.DUPLICATE:
        await ports.objects.remove(report.object_key)
    ports.wake(Queue.SETTLE)
    return appended


def accept_soon(
    ports: Ports,
    *,
    provider: str,
    task_key: UUID,
    body: bytes,
    headers: Mapping[str, str],
    told: Callable[[NewReport, Appended | Exception], None],
) -> bool:
    """Accept a callback without a task of its own, and tell ``told``, later, what it was, or why it is not accepted.

    For a body that is small, as nearly every one is: a task, and what it runs through, costs as much as to store it.
    False where the body is not small enough: nothing has been done then. After an error ``not_accepted`` is due.
    Raises UnavailableError where the store is closed.
    """
    if len(body) > min(_JUDGED_AT_ONCE, ports.limits.spool_bytes):
        return False
    now = ports.system.now()
    judged = _judged(ports.providers[provider], headers, body, now)
    report = _report(ports, provider, task_key, body=body, headers=headers, judged=judged, now=now)
    ports.system.checkpoint("accept.before_append")

    def heard(appended: "asyncio.Future[Appended]") -> None:
        outcome: Appended | Exception
        try:
            outcome = appended.result()
            ports.system.checkpoint("accept.after_append")
            ports.wake(Queue.SETTLE)
        except asyncio.CancelledError:
            outcome = UnavailableError("it was stopped")
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits to hear of it
            outcome = error
        told(report, outcome)

    ports.store.append(report, _limits(ports.limits.max_callback_bytes)).add_done_callback(heard)
    return True


async def not_accepted(ports: Ports, report: NewReport, error: Exception) -> None:
    """Do what is due on a callback that could not be stored."""
    if report.object_key and not await _may_be_kept(ports, report.id, error):
        await ports.objects.remove(report.object_key)
    if isinstance(error, TooManyBodiesError):
        # What this callback would have said is asked for instead.
        await _look_now(ports, report.task_key)


def _report(
    ports: Ports,
    provider: str,
    task_key: UUID,
    *,
    body: bytes,
    headers: Mapping[str, str],
    judged: tuple[str | None, bytes],
    now: datetime,
) -> NewReport:
    """Return the report of a callback; a large body in the database would stall everybody who shares the commit."""
    report_id = ports.system.new_key()
    object_key = f"reports/{report_id}" if len(body) > ports.limits.spool_bytes else None
    doubt, digest = judged
    # In the order of the fields: by name it takes half as long again.
    return NewReport(
        report_id,
        task_key,
        provider,
        Via.CALLBACK,
        now,
        b"" if object_key else body,
        digest,
        len(body),
        object_key,
        headers.get("content-type"),
        doubt=doubt,
    )


@lru_cache(maxsize=8)
def _limits(max_callback_bytes: int) -> BodyLimits:
    return BodyLimits(size=2 * max_callback_bytes)


async def _may_be_kept(ports: Ports, report_id: UUID, error: Exception) -> bool:
    """Tell whether a report may lie in the store all the same: what was stored may be answered with a fault.

    Its body has to stay then: the provider comes again, is told that it repeats itself, and does not come once more.
    """
    if not isinstance(error, UnavailableError):
        return False
    try:
        return bool(await ports.store.known_reports([report_id]))
    except UnavailableError:
        # A body that no row names is removed at a start.
        return True


def _judged(provider: Provider, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[str | None, bytes]:
    """Return why a callback is not genuine, by its adapter, and the digest it is known by.

    One that the adapter breaks on is kept, doubted, and asked about.
    """
    try:
        doubt = provider.doubts(headers, body, now)
    except Exception as error:  # noqa: BLE001 - a 503 would repeat for ever what our own code cannot judge
        doubt = f"its signature could not be judged ({type(error).__name__})"
    # A doubted body must not make the genuine one, which may follow with the same bytes, a mere repeat.
    return doubt, hashlib.sha256(body if doubt is None else b"not genuine: " + body).digest()


async def refuse_oversized(ports: Ports, *, provider: str, task_key: UUID) -> None:
    """Ask the provider at once about a task whose callback was too large to take."""
    ports.metrics.count("callbacks_too_large", provider=provider)
    await _look_now(ports, task_key)


async def _look_now(ports: Ports, task_key: UUID) -> None:
    await ports.store.look_at(task_key, ports.system.now())
    ports.wake(Queue.POLL)
