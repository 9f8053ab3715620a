"""The balance: what the sandbox's ledger says against what our own interface says, the one measure of loss."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

ENDED = ("succeeded", "partial", "failed", "lost", "cancelled")
TERMINAL = frozenset(ENDED)


class BalanceError(Exception):
    """The balance is off; the message says where."""


@dataclass(frozen=True, slots=True)
class Books:
    """What our interface and the sandbox's ledger say at one moment, each in full.

    ``ours`` are our tasks, ``theirs`` the entries of the ledger, ``events`` every task's timeline by its id.
    ``audio`` is the sha256 of what our interface gave for a result's stored audio, by its path; empty where nobody
    asked for the bytes.
    """

    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]
    events: Mapping[str, list[dict[str, Any]]]
    audio: Mapping[str, str] = field(default_factory=dict)

    def pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Yield every entry of the ledger with the task of ours that it belongs to, None when there is none."""
        by_provider_id = {task["provider_task_id"]: task for task in self.ours if task["provider_task_id"]}
        by_id = {task["id"]: task for task in self.ours}
        for entry in self.theirs:
            yield entry, by_provider_id.get(entry["provider_task_id"]) or by_id.get(entry["client_request_id"] or "")


@dataclass(frozen=True, slots=True)
class Balance:
    """The ledger against our tasks; every list names what is wrong, so all are empty.

    ``statuses`` counts our tasks, ``matched`` those that the ledger knows.
    """

    ledger_tasks: int
    statuses: Mapping[str, int]
    matched: Mapping[str, int]
    billed_but_unknown: list[str]
    claimed_twice: list[str]
    without_ledger: list[str]
    acknowledged_but_missing: list[str]
    ended_twice: list[str]
    submitted_twice: list[str]
    wrong_audio: list[str]
    lost_but_made: list[str]
    broken_timelines: list[str]

    @property
    def wrong(self) -> Mapping[str, list[str]]:
        """The lists that are not empty."""
        lists = {name: getattr(self, name) for name in MUST_BE_NONE}
        return {name: found for name, found in lists.items() if found}

    def assert_exact(self) -> None:
        """Raise BalanceError unless nothing is wrong and the sum of the ledger's tasks is the sum of ours."""
        if self.wrong:
            raise BalanceError(f"the balance is off: {json.dumps(self.wrong, indent=1)}\n{self}")
        if self.ledger_tasks != sum(self.matched.values()):
            raise BalanceError(f"the balance is off: {self}")


#: The lists of a balance, in words.
MUST_BE_NONE: Mapping[str, str] = {
    "billed_but_unknown": "billed but unknown to us",
    "acknowledged_but_missing": "acknowledged callbacks missing",
    "without_ledger": "ours the ledger does not explain",
    "claimed_twice": "one of ours for two of theirs",
    "submitted_twice": "AIMLAPI submitted twice",
    "ended_twice": "more than one terminal event",
    "broken_timelines": "timelines with a gap",
    "lost_but_made": "lost though it was made",
    "wrong_audio": "audio that is not the provider's",
}


def reckon(books: Books) -> Balance:
    """Draw up the balance of both sides' books."""
    claimed: Counter[str] = Counter()
    matched: Counter[str] = Counter()
    unknown, missing, lost_but_made = [], [], []
    wrong_audio: list[str] = []
    for entry, task in books.pairs():
        if task is None:
            unknown.append(entry["provider_task_id"])
            continue
        claimed[task["id"]] += 1
        matched[task["status"]] += 1
        acknowledged = sum(1 for call in entry["callbacks"] if call["status_code"] == HTTPStatus.OK)
        if task["callbacks"] < acknowledged:
            missing.append(f"{task['id']}: {acknowledged} acknowledged, {task['callbacks']} known")
        made = {result["sha256"] for result in entry["results"]}
        if task["status"] == "lost" and made:
            lost_but_made.append(task["id"])
        wrong_audio += _wrong_audio(task, made, books.audio)
    requests = Counter(
        e["client_request_id"] for e in books.theirs if e["provider"] == "aimlapi" and e["client_request_id"]
    )
    return Balance(
        ledger_tasks=len(books.theirs),
        statuses=Counter(task["status"] for task in books.ours),
        matched=matched,
        billed_but_unknown=unknown,
        claimed_twice=[task_id for task_id, times in claimed.items() if times > 1],
        without_ledger=[task["id"] for task in books.ours if task["id"] not in claimed and not _explained(task)],
        acknowledged_but_missing=missing,
        ended_twice=[task_id for task_id, events in books.events.items() if _endings(events) > 1],
        submitted_twice=[request for request, times in requests.items() if times > 1],
        wrong_audio=wrong_audio,
        lost_but_made=lost_but_made,
        broken_timelines=[task["id"] for task in books.ours if not _unbroken(books.events.get(task["id"], []))],
    )


def stored_audio(books: Books) -> Iterator[str]:
    """Yield the path of every audio that our interface says it holds."""
    for task in books.ours:
        for result in task["results"]:
            if result["artifact"]["status"] == "stored":
                yield result["artifact"]["url"]


def _wrong_audio(task: dict[str, Any], made: set[str], held: Mapping[str, str]) -> Iterator[str]:
    """Yield stored audio that the provider did not make, by what we say of it or by its bytes."""
    for result in task["results"]:
        artifact = result["artifact"]
        if artifact["status"] != "stored":
            continue
        if artifact["sha256"] not in made:
            yield f"{task['id']}: {artifact['sha256']}"
        elif held.get(artifact["url"], artifact["sha256"]) != artifact["sha256"]:
            yield f"{task['id']}: {held[artifact['url']]} in place of {artifact['sha256']}"


def _explained(task: dict[str, Any]) -> bool:
    """A task the ledger does not know is one that never got there, or that we do not claim got there."""
    refused = task["status"] == "failed" and task["submitted_at"] is None
    return task["status"] in {"queued", "unknown", "lost", "cancelled"} or refused


def _endings(events: list[dict[str, Any]]) -> int:
    """Count terminal events; being found after being lost allows one more."""
    types = [event["type"] for event in events]
    endings = sum(1 for kind in types if kind.removeprefix("task.") in TERMINAL)
    return endings - types.count("task.found")


def _unbroken(events: list[dict[str, Any]]) -> bool:
    """A timeline is numbered from 1 without a gap."""
    return bool(events) and [event["seq"] for event in events] == list(range(1, len(events) + 1))
