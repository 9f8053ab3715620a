"""What a drill found: the balance of both sides' books, its figures, and the lines in which people read it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from receiver.drill.balance import ENDED, MUST_BE_NONE, Balance, BalanceError, Books, reckon
from receiver.drill.load import Load
from receiver.drill.sides import read_books, with_audio

_NO_HINT = "503 without Retry-After"


@dataclass(frozen=True, slots=True)
class Account:
    """The books at the end of a drill; ``missing`` are tasks whose 202 came and that are gone.

    ``seconds`` are those of the whole, ``seconds_to_end`` those from the end of all harm until every task had ended.
    ``refused`` counts what callers met instead of a 202.
    """

    name: str
    seconds: float
    seconds_to_end: float
    acknowledged: int
    missing: Sequence[str]
    books: Books
    balance: Balance
    refused: Mapping[str, int]
    notes: tuple[str, ...] = ()
    most_seconds_to_end: float = math.inf

    @property
    def open(self) -> int:
        """How many tasks that the ledger knows have not ended."""
        return sum(n for state, n in self.balance.matched.items() if state not in ENDED)

    @property
    def unended(self) -> int:
        """How many tasks of ours have not ended, whether the ledger knows them or not."""
        return sum(n for state, n in self.balance.statuses.items() if state not in ENDED)

    def must_be_none(self) -> Iterator[tuple[str, str, int]]:
        """Yield everything that must be none: its name, the same in words, how much of it there is."""
        yield "acknowledged_and_gone", "acknowledged tasks missing", len(self.missing)
        for name, words in MUST_BE_NONE.items():
            yield name, words, len(getattr(self.balance, name))
        yield "not_ended", "tasks that have not ended", self.unended
        yield "no_retry_after", "a 503 without Retry-After", self.refused.get(_NO_HINT, 0)

    @property
    def exact(self) -> bool:
        """True when nothing is lost or wrong and the sum of the ledger's tasks is that of ours."""
        in_time = self.seconds_to_end <= self.most_seconds_to_end
        balanced = self.balance.ledger_tasks == sum(self.balance.matched.values())
        return in_time and balanced and not any(count for _, _, count in self.must_be_none())

    def wrong(self) -> Mapping[str, Sequence[str]]:
        """Return what is wrong by name: ids, with what was expected of them."""
        gone = {"acknowledged_and_gone": self.missing} if self.missing else {}
        return {**gone, **self.balance.wrong}

    def assert_nothing_lost(self) -> None:
        """Raise BalanceError unless it is exact."""
        if self.missing:
            raise BalanceError(f"acknowledged and gone: {self.missing}")
        self.balance.assert_exact()
        if not self.exact:
            found = {words: count for _, words, count in self.must_be_none() if count}
            raise BalanceError(f"{found or 'late'}: the last task ended after {self.seconds_to_end:.0f} s")

    def sum_of_states(self) -> str:
        """Return the sum that the ledger's tasks must be."""
        stated = " + ".join(f"{self.balance.matched.get(state, 0)} {state}" for state in ENDED)
        return f"{stated} + {self.open} open"

    def beside(self) -> str:
        """Return our tasks that the ledger does not know, by their states."""
        without = Counter(self.balance.statuses)
        without.subtract(self.balance.matched)
        return ", ".join(f"{n} {state}" for state, n in without.items() if n) or "none"

    def figures(self) -> Iterator[tuple[str, str]]:
        """Yield what happened, by name."""
        calls = callbacks(self.books)
        told = (
            f"{calls['sent']} sent, {calls['acknowledged']} acknowledged, {calls['counted']} counted by us; "
            f"{calls['results']} were due, {calls['never sent']} of them never sent, {calls['twice']} sent twice, "
            f"{calls['again']} repeated for want of an answer"
        )
        yield "callbacks", told
        yield "submits without an answer", "; ".join(unanswered(self.books)) or "none"
        yield "callers asked again after", _words(self.refused) or "nothing"
        yield "miss rate", miss_rate(self.books)
        if self.books.audio:
            yield "audio read back", f"{len(self.books.audio)} files, hashed"

    def lines(self) -> Iterator[str]:
        """Yield the whole account, one fact a line, for logs."""
        yield f"{self.name}: {self.seconds:.0f} s, every task ended {self.seconds_to_end:.1f} s after the last of it"
        yield _line("tasks in the ledger", f"{self.balance.ledger_tasks} = {self.sum_of_states()}")
        yield _line("ours beside them", self.beside())
        yield _line("acknowledged with a 202", f"{self.acknowledged}, of them missing: {len(self.missing)}")
        for _, words, count in self.must_be_none():
            yield _line(words, f"{count}")
        for name, value in self.figures():
            yield _line(name, value)
        for note in self.notes:
            yield f"  {note}"


def conclude(name: str, load: Load, began: float, last: float, ended: float) -> Account:
    """Draw up the account of a drill that has come to rest; times are of the monotonic clock."""
    books = with_audio(load.sides, read_books(load.sides))
    return account(name, books, load.acknowledged, ended - began, ended - last, load.refused)


def account(
    name: str,
    books: Books,
    acknowledged: Sequence[str],
    seconds: float,
    seconds_to_end: float,
    refused: Mapping[str, int],
) -> Account:
    """Draw up the account of these books; ``acknowledged`` are the ids of the tasks whose 202 came."""
    known = {task["id"] for task in books.ours}
    missing = [task_id for task_id in acknowledged if task_id not in known]
    return Account(name, seconds, seconds_to_end, len(acknowledged), missing, books, reckon(books), dict(refused))


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
        counts["twice"] += len({call["result_id"] for call in calls if call["copy"] > 1})
        counts["again"] += sum(call["attempt"] > 1 for call in calls)
        counts["sent"] += len(calls)
        counts["acknowledged"] += sum(call["status_code"] == HTTPStatus.OK for call in calls)
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


def _was_unknown(books: Books, task: dict[str, Any]) -> bool:
    return any(event["type"] == "task.unknown" for event in books.events.get(task["id"], []))


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _line(name: str, value: str) -> str:
    return f"  {name:<36}{value}"
