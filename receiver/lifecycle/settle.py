"""Settle: read stored reports through their provider's adapter and move the tasks they speak of."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from anyio.lowlevel import checkpoint

from receiver.domain.asking import ask_later
from receiver.domain.errors import UnavailableError
from receiver.domain.report import Reading, StoredReport, Via
from receiver.domain.settlement import SettleRules, duplicate, quarantine, settle
from receiver.domain.task import Change, Task, Work
from receiver.domain.usual import Arrival, Waiting, arrive, is_usual
from receiver.domain.values import replace
from receiver.lifecycle.lateness import observe_lateness
from receiver.lifecycle.ports import Decision, Ports, Queue
from receiver.lifecycle.reading import NEVER_FINISHED, read, read_at_once
from receiver.lifecycle.record import insist
from receiver.lifecycle.rules import settle_rules

#: A report whose reading was begun this often and never finished kills whoever reads it: it is set aside. The store
#: leases one that was begun before alone, so that those beside it are not taken for it.
MOST_ATTEMPTS = 3
#: A report whose body cannot be fetched from the artifact store waits this long.
STORE_DOWN_WAIT = timedelta(seconds=5)
#: So many reports are read before others may go on.
BREATH = 32
#: A report with what was understood of it, or why nothing was.
_Read = tuple[StoredReport, Reading | None, str]


async def lease(ports: Ports, limit: int, *, in_hand: bool = False) -> list[StoredReport]:
    """Claim reports to settle, oldest first; ``in_hand``: only such as are claimed by us already."""
    now = ports.system.now()
    reports = await ports.store.lease_inbox(now=now, limit=limit, lease=ports.limits.lease, in_hand=in_hand)
    # The oldest speaks for all: each by itself is in the lag, and to tell of each twice costs a tenth of settling it.
    observe_lateness(ports, Queue.SETTLE, [min((report.received_at for report in reports), default=None)], now)
    return reports


async def settle_reports(ports: Ports, reports: Sequence[StoredReport]) -> None:
    """Settle leased reports in one transaction; one that cannot be read is set aside alone."""
    ports.system.checkpoint("settle.before_read")
    read = []
    for number, report in enumerate(reports, 1):
        if (understood := _read_at_once(ports, report) or await _read(ports, report)) is not None:
            read.append(understood)
        if number % BREATH == 0:
            # A whole batch takes 5 to 25 ms, and whoever calls back meanwhile is to be heard, and verified.
            await checkpoint()
    now = ports.system.now()
    # Waited for: a report whose reading was begun three times and never written down would be set aside.
    rules = {name: settle_rules(ports, provider) for name, provider in ports.providers.items()}
    decisions = [_decision(item, rules.get(item[0].provider), now) for item in read]
    changes = await insist(ports, lambda: ports.store.settle(decisions))
    ports.system.checkpoint("settle.after_apply")
    for via in Via:
        lags = [(now - report.received_at).total_seconds() for report, _, _ in read if report.via is via]
        ports.metrics.observe("settle_lag_seconds", *lags, via=via.value)
    for (report, _, _), change in zip(read, changes, strict=True):
        # No change: the task is unknown here, as after a restored backup, and the report was set aside.
        if change is None or (isinstance(change, Change) and [each for each in change.rulings if each.reason]):
            ports.metrics.count("reports_quarantined", provider=report.provider)
    ports.wake(Queue.COLLECT)
    if Work.POLL in [change.task.work for change in changes if isinstance(change, Change)]:
        ports.wake(Queue.POLL)


def _read_at_once(ports: Ports, report: StoredReport) -> _Read | None:
    """Understand a report, or say why it is set aside; None when its body is to be waited for."""
    if report.duplicate_of is not None:
        return report, None, ""
    if report.doubt is not None:
        return report, None, report.doubt
    if report.attempts >= MOST_ATTEMPTS:
        return report, None, NEVER_FINISHED
    return _understood(report, read_at_once(ports, report))


async def _read(ports: Ports, report: StoredReport) -> _Read | None:
    """Understand a report whose body is to be waited for; None when it cannot be had now."""
    try:
        return _understood(report, await read(ports, report))
    except UnavailableError:
        later = ports.system.now() + STORE_DOWN_WAIT
        await insist(ports, lambda: ports.store.defer_report(report.id, later))
        return None


def _understood(report: StoredReport, reading: Reading | str | None) -> _Read | None:
    if isinstance(reading, str):
        return report, None, reading
    return None if reading is None else (report, reading, "")


def _decision(item: _Read, rules: SettleRules | None, now: datetime) -> Decision:
    report, reading, reason = item
    if reading is None or rules is None or report.duplicate_of is not None:
        return Decision(report.task_key, lambda task: _without_reading(task, report, reason, now), (report.id,))

    def usual(task: Waiting) -> Arrival | None:
        return arrive(task, report, reading, now, rules.trusted_link, rules.new_id)

    # In the order of the fields: by name it takes half as long again.
    return Decision(
        report.task_key,
        lambda task: settle(task, report, reading, now, rules),
        (report.id,),
        False,  # noqa: FBT003 - release
        (),
        None,
        usual if is_usual(report, reading) else None,
    )


def _without_reading(task: Task, report: StoredReport, reason: str, now: datetime) -> Change:
    if report.duplicate_of is not None:
        return duplicate(task, report, now)
    change = quarantine(task, report, reason, now)
    if reason == NEVER_FINISHED and report.via is Via.POLL:
        # An equal answer will be read again, and should not end process after process.
        return replace(change, task=ask_later(change.task, now))
    return change
