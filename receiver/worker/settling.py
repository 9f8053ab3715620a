"""The loop that settles reports: how many together, and how many such batches at once."""

from collections.abc import Awaitable, Callable, Coroutine

from receiver.lifecycle import settle
from receiver.lifecycle.ports import Ports
from receiver.worker.watching import Places, Slots

#: Reports settled at once; more where each statement is a way to another process and back.
BATCH, SHARED_BATCH = 128, 1000
#: Batches under way at once where the database is another process: two in transactions, while we read the next.
SHARED_BATCHES = 3
#: With one under way, so many seconds are waited for what is worth another.
BESIDE = 0.03
#: After a batch that was hardly worth it, so many seconds are waited for more: it costs what 30 reports in it do.
GATHERS = 0.01
#: So many are worth it on a database of our own, where the batch is one transaction with whoever calls back next: in
#: turns of equal length nobody waits for two. Between us and another process only a full batch is.
WORTH = 48

Run = Callable[[str, Places, Coroutine[object, object, None]], None]


def settling(ports: Ports, run: Run, *, alone: bool) -> Callable[[], Awaitable[bool]]:
    """Return what settles the next batch and tells whether there was one; ``alone``: on a database of our own.

    ``run`` starts a step that goes on by itself.
    """
    full, worth = (BATCH, WORTH) if alone else (SHARED_BATCH, SHARED_BATCH)
    slots = Slots(1 if alone else SHARED_BATCHES)
    most = full

    async def once() -> bool:
        nonlocal most
        await slots.free()
        # Beside a batch only what is in hand, which nobody has begun with. What is claimed from the table may be what
        # a process died of, and whatever is under way beside that would be suspected too; and where the database was
        # away for longer than a claim lasts, it may be what is under way here.
        beside = not await slots.idle(BESIDE)
        reports = await settle.lease(ports, most, in_hand=beside)
        if beside and not reports:
            await slots.idle()
            return True
        begun_before = any(report.attempts > 1 for report in reports)
        gathers = bool(reports) and len(reports) < min(most, worth) and not begun_before
        # What was begun before comes alone, and others of its batch come next: to claim more beside each of them,
        # only to give it back, would be most of the work.
        most = 1 if begun_before else full
        if reports and (alone or begun_before):
            await settle.settle_reports(ports, reports)
        elif reports:
            run("settle", slots, settle.settle_reports(ports, reports))
        if gathers:
            await ports.system.sleep(GATHERS)
        return bool(reports)

    return once
