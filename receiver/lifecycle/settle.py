"""Settle: read stored reports through their provider's adapter and move the tasks they speak of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anyio import to_thread

from receiver.domain.errors import NotFoundError, UnavailableError, UnreadableError
from receiver.domain.report import Reading, StoredReport
from receiver.domain.settlement import SettleRules, duplicate, quarantine, settle
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle.ports import Decision, Ports, Provider, Queue

#: A report whose reading was begun this often and never finished kills whoever reads it: it is set aside.
MOST_ATTEMPTS = 3
#: Bodies above this many bytes are read in a thread, so that the event loop goes on answering callbacks.
READ_IN_THREAD = 64 * 1024
#: A report whose body cannot be fetched from the artifact store waits this long.
STORE_DOWN_WAIT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Read:
    """A report with what was understood of it, or why nothing was."""

    report: StoredReport
    reading: Reading | None
    reason: str = ""


async def lease(ports: Ports, limit: int) -> list[StoredReport]:
    """Claim reports to settle, oldest first."""
    return await ports.store.lease_inbox(now=ports.system.now(), limit=limit, lease=ports.limits.lease)


async def settle_reports(ports: Ports, reports: Sequence[StoredReport]) -> None:
    """Settle leased reports in one transaction; one that cannot be read is set aside alone."""
    ports.system.checkpoint("settle.before_read")
    read = [understood for report in reports if (understood := await _read(ports, report)) is not None]
    now = ports.system.now()
    changes = await ports.store.apply([_decision(ports, item, now) for item in read])
    ports.system.checkpoint("settle.after_apply")
    for item, change in zip(read, changes, strict=True):
        lag = (now - item.report.received_at).total_seconds()
        ports.metrics.observe("settle_lag_seconds", lag, via=item.report.via.value)
        if change is not None and any(ruling.reason for ruling in change.rulings):
            ports.metrics.count("reports_quarantined", provider=item.report.provider)
    ports.wake(Queue.COLLECT)
    if any(change is not None and change.task.status is Status.SUBMITTED for change in changes):
        ports.wake(Queue.POLL)


async def _read(ports: Ports, report: StoredReport) -> _Read | None:
    """Understand a report, or say why it is set aside; None when its body cannot be had now."""
    if report.duplicate_of is not None:
        return _Read(report, None)
    provider = ports.providers.get(report.provider)
    reason = report.doubt
    if reason is None and report.attempts >= MOST_ATTEMPTS:
        reason = "reading it was begun twice and never finished"
    if reason is not None or provider is None:
        return _Read(report, None, reason or "its provider is no longer known")
    body = report.body
    if report.object_key is not None:
        try:
            body = await ports.objects.read(report.object_key)
        except NotFoundError:
            return _Read(report, None, "its body is gone from the artifact store")
        except UnavailableError:
            await ports.store.defer_report(report.id, ports.system.now() + STORE_DOWN_WAIT)
            return None
    return await _understand(provider, report, body)


async def _understand(provider: Provider, report: StoredReport, body: bytes) -> _Read:
    try:
        if len(body) > READ_IN_THREAD:
            reading = await to_thread.run_sync(provider.read, body, report.via)
        else:
            reading = provider.read(body, report.via)
    except UnreadableError as error:
        return _Read(report, None, f"unreadable: {error}")
    except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes provoke concerns this report alone
        return _Read(report, None, f"unreadable: {type(error).__name__}")
    # Settling needs to know of inline audio, not to hold the bytes of a whole batch; collecting reads them again.
    outputs = tuple(output if output.inline is None else replace(output, inline="") for output in reading.outputs)
    return _Read(report, replace(reading, outputs=outputs))


def _decision(ports: Ports, item: _Read, now: datetime) -> Decision:
    report, reading = item.report, item.reading
    provider = ports.providers.get(report.provider)

    def decide(task: Task) -> Change:
        if report.duplicate_of is not None:
            return duplicate(task, report, now)
        if reading is None or provider is None:
            return quarantine(task, report, item.reason, now)
        rules = SettleRules(
            plan=provider.plan(task.request, pushed=task.pushed),
            trusted_link=provider.trusts,
            new_id=ports.system.new_id,
        )
        return settle(task, report, reading, now, rules)

    return Decision(report.task_key, decide, reports=(report.id,))
