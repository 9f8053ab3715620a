"""What a drill found: the balance of both sides' books, and the lines in which people read it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from tests.durability.load import Load
from tests.harness import TERMINAL, Balance, Books, Stack, read_books, reckon, wait_until

_STATES = ("succeeded", "partial", "failed", "lost", "cancelled")


@dataclass(frozen=True)
class Outcome:
    """The books at the end of a drill; ``missing`` are tasks whose 202 came and that are gone."""

    name: str
    seconds: float
    seconds_to_end: float
    acknowledged: int
    missing: list[str]
    books: Books
    balance: Balance
    notes: tuple[str, ...] = ()
    most_seconds_to_end: float = math.inf

    def assert_nothing_lost(self) -> None:
        assert not self.missing, f"acknowledged and gone: {self.missing}"
        self.balance.assert_exact()
        late = f"the last task ended after {self.seconds_to_end:.0f} s"
        assert self.seconds_to_end <= self.most_seconds_to_end, late

    def lines(self) -> Iterator[str]:
        """Yield the balance, one fact a line."""
        exact, calls = self.balance, callbacks(self.books)
        stated = " + ".join(f"{exact.matched.get(state, 0)} {state}" for state in _STATES)
        still_open = sum(exact.matched.values()) - sum(exact.matched.get(state, 0) for state in _STATES)
        without = Counter(exact.statuses)
        without.subtract(exact.matched)
        yield f"{self.name}: {self.seconds:.0f} s, every task ended {self.seconds_to_end:.1f} s after the last of it"
        yield _line("tasks in the ledger", f"{exact.ledger_tasks} = {stated} + {still_open} open")
        yield _line("ours beside them", ", ".join(f"{n} {state}" for state, n in without.items() if n) or "none")
        yield _line("acknowledged with a 202", f"{self.acknowledged}, of them missing: {len(self.missing)}")
        yield _line("acknowledged callbacks missing", f"{len(exact.acknowledged_but_missing)}")
        yield _line("billed but unknown to us", f"{len(exact.billed_but_unknown)}")
        yield _line("ours the ledger does not explain", f"{len(exact.without_ledger)}")
        yield _line("one of ours for two of theirs", f"{len(exact.claimed_twice)}")
        yield _line("AIMLAPI submitted twice", f"{len(exact.submitted_twice)}")
        yield _line("more than one terminal event", f"{len(exact.ended_twice)}")
        yield _line("timelines with a gap", f"{len(exact.broken_timelines)}")
        yield _line("lost though it was made", f"{len(exact.lost_but_made)}")
        yield _line("audio that is not the provider's", f"{len(exact.wrong_audio)}")
        yield _line(
            "callbacks",
            f"{calls['sent']} sent, {calls['acknowledged']} acknowledged, {calls['counted']} counted by us; "
            f"{calls['results']} were due, {calls['never sent']} of them never sent, {calls['twice']} sent twice, "
            f"{calls['again']} repeated for want of an answer",
        )
        yield _line("submits without an answer", "; ".join(unanswered(self.books)) or "none")
        yield _line("miss rate", miss_rate(self.books))
        for note in self.notes:
            yield f"  {note}"


def conclude(name: str, load: Load, began: float, last: float, ended: float) -> Outcome:
    """Draw up the outcome of a drill that has come to rest; times are of the monotonic clock."""
    books = read_books(load.stack)
    known = {task["id"] for task in books.ours}
    missing = [task_id for task_id in load.acknowledged if task_id not in known]
    count = len(load.acknowledged)
    return Outcome(name, ended - began, ended - last, count, missing, books, reckon(books))


def wait_for_rest(stack: Stack, seconds: float) -> None:
    """Wait until every task of ours has ended and the sandbox has nothing left to send; else tell what hangs."""
    try:
        wait_until(lambda: not stack.count_open(), seconds, "every task has ended", every_seconds=0.25)
    except AssertionError as error:
        hanging = [task for task in stack.tasks() if task["status"] not in TERMINAL]
        counts = _words(Counter(task["status"] for task in hanging))
        stories = "\n".join(f"{task}\n{stack.events(task['id'])}" for task in hanging[-3:])
        raise AssertionError(f"{error}; still {counts}; the oldest:\n{stories}") from None

    def silent() -> bool:
        counts = stack.http.get(f"{stack.sandbox.url}/_sandbox/counts").json()
        return bool(counts["under_way"] == 0)

    wait_until(silent, seconds, "the sandbox has nothing left to send", every_seconds=0.25)


def callbacks(books: Books) -> Mapping[str, int]:
    """Count what the sandbox had to tell, what it sent of that, and what came of it."""
    counts: Counter[str] = Counter()
    for entry in books.theirs:
        if entry["webhook_url"] is None:
            continue
        calls = entry["callbacks"]
        told = {call["result_id"] for call in calls if call["copy"] == 1}
        due = len(entry["results"]) + len(entry["errors"])
        counts["results"] += due
        counts["never sent"] += due - len(told)
        counts["twice"] += len({call["result_id"] for call in calls if call["copy"] == 2})
        counts["again"] += sum(call["attempt"] > 1 for call in calls)
        counts["sent"] += len(calls)
        counts["acknowledged"] += sum(call["status_code"] == 200 for call in calls)
    counts["counted"] = sum(task["callbacks"] for task in books.ours)
    return counts


def unanswered(books: Books) -> Iterator[str]:
    """Say for each provider what became of submits whose outcome was unknown for a while."""
    entries = {task["id"]: entry for entry, task in books.pairs() if task is not None}
    for provider in ("runware", "aimlapi"):
        unclear = [task for task in books.ours if task["provider"] == provider and _was_unknown(books, task)]
        if not unclear:
            continue
        arrived = [task for task in unclear if task["id"] in entries]
        resolved = [task for task in arrived if task["status"] != "lost"]
        rest = [task for task in unclear if task["id"] not in entries]
        given_up = Counter(task["status"] for task in rest)
        never = f", {len(rest)} had not arrived ({_words(given_up)})" if rest else ""
        yield f"{provider} {len(unclear)}: {len(arrived)} had arrived, {len(resolved)} of them resolved{never}"


def miss_rate(books: Books) -> str:
    """Return the share of Runware's results of which a poll told first."""
    results = [r for task in books.ours if task["provider"] == "runware" for r in task["results"]]
    if not results:
        return "no results of Runware"
    polled = sum(result["via"] != "callback" for result in results)
    return f"{polled} of {len(results)} results of Runware came by poll first ({polled / len(results):.1%})"


def spread(seconds: list[float]) -> str:
    """Return median and p99 of durations."""
    if len(seconds) < 2:
        return "too few to say"
    return f"median {median(seconds):.2f} s, p99 {quantiles(seconds, n=100, method='inclusive')[98]:.2f} s"


def _was_unknown(books: Books, task: dict[str, Any]) -> bool:
    return any(event["type"] == "task.unknown" for event in books.events.get(task["id"], []))


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _line(name: str, value: str) -> str:
    return f"  {name:<34}{value}"
