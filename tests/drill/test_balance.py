"""The balance can fail: books with one thing wrong each, and what it says of them."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from receiver.drill.account import Account, account
from receiver.drill.balance import MUST_BE_NONE, BalanceError, Books, reckon

_SHA = "a" * 64
_OTHER = "b" * 64
_PATH = "/v1/tasks/one/results/r/audio"


def _task(name: str, provider: str, status: str = "succeeded") -> dict[str, Any]:
    artifact = {"status": "stored", "sha256": _SHA, "url": f"/v1/tasks/{name}/results/r/audio"}
    result = {"via": "callback", "artifact": artifact}
    return {
        "id": name,
        "provider": provider,
        "provider_task_id": f"theirs-{name}",
        "status": status,
        "submitted_at": "2026-01-01T00:00:00Z",
        "callbacks": 1 if provider == "runware" else 0,
        "results": [result],
    }


def _entry(name: str, provider: str) -> dict[str, Any]:
    call = {"result_id": "r", "copy": 1, "attempt": 1, "status_code": 200}
    return {
        "provider": provider,
        "provider_task_id": f"theirs-{name}",
        "client_request_id": name if provider == "aimlapi" else None,
        "webhook_url": "http://127.0.0.1/callbacks" if provider == "runware" else None,
        "results": [{"sha256": _SHA}],
        "errors": [],
        "callbacks": [call] if provider == "runware" else [],
    }


def _books() -> Books:
    """One task of each provider, well done."""
    both = (("one", "runware"), ("two", "aimlapi"))
    return Books(
        ours=[_task(*each) for each in both],
        theirs=[_entry(*each) for each in both],
        events={
            name: [{"seq": seq, "type": kind} for seq, kind in enumerate(["task.created", "task.succeeded"], 1)]
            for name, _ in both
        },
        audio={_PATH: _SHA},
    )


def _drawn_up(
    books: Books, acknowledged: tuple[str, ...] = ("one", "two"), met: Mapping[str, int] | None = None
) -> Account:
    return account("test", books, acknowledged, 60.0, 1.0, met or {})


def test_good_books_are_exact() -> None:
    found = _drawn_up(_books())
    found.assert_nothing_lost()
    assert found.exact
    assert found.sum_of_states() == "2 succeeded + 0 partial + 0 failed + 0 lost + 0 cancelled + 0 open"
    assert found.wrong() == {}


def _forget(books: Books) -> None:
    del books.ours[0]


def _drop_from_the_ledger(books: Books) -> None:
    del books.theirs[1]


def _claim_two(books: Books) -> None:
    books.theirs[1]["client_request_id"] = books.theirs[1]["provider_task_id"] = None
    books.theirs[1]["provider_task_id"] = "theirs-one"


def _submit_twice(books: Books) -> None:
    books.theirs.append({**books.theirs[1], "provider_task_id": "theirs-two-again"})


def _miss_a_callback(books: Books) -> None:
    books.ours[0]["callbacks"] = 0


def _end_twice(books: Books) -> None:
    events: Any = books.events
    events["one"].append({"seq": 3, "type": "task.failed"})


def _break_a_timeline(books: Books) -> None:
    events: Any = books.events
    events["two"][1]["seq"] = 3


def _lose_what_was_made(books: Books) -> None:
    books.ours[1]["status"] = "lost"


def _keep_other_audio(books: Books) -> None:
    books.ours[0]["results"][0]["artifact"]["sha256"] = _OTHER


def _give_other_bytes(books: Books) -> None:
    audio: Any = books.audio
    audio[_PATH] = _OTHER


_WRONGS: Mapping[str, tuple[str, Callable[[Books], None]]] = {
    "a task of the ledger that we do not know": ("billed_but_unknown", _forget),
    "a task of ours that was sent and is not in the ledger": ("without_ledger", _drop_from_the_ledger),
    "one of ours for two of theirs": ("claimed_twice", _claim_two),
    "a submit that arrived twice": ("submitted_twice", _submit_twice),
    "an acknowledged callback that we do not count": ("acknowledged_but_missing", _miss_a_callback),
    "two ends": ("ended_twice", _end_twice),
    "a gap in a timeline": ("broken_timelines", _break_a_timeline),
    "lost though it was made": ("lost_but_made", _lose_what_was_made),
    "audio that the provider did not make": ("wrong_audio", _keep_other_audio),
    "bytes that are not what we say they are": ("wrong_audio", _give_other_bytes),
}


@pytest.mark.parametrize(("name", "spoil"), _WRONGS.values(), ids=_WRONGS)
def test_what_is_wrong_is_said_by_its_name(name: str, spoil: Callable[[Books], None]) -> None:
    books = deepcopy(_books())
    spoil(books)
    assert name in reckon(books).wrong
    found = _drawn_up(books)
    assert not found.exact
    assert found.wrong()[name]
    assert {key: count for key, _, count in found.must_be_none()}[name] > 0
    with pytest.raises(BalanceError):
        found.assert_nothing_lost()


def test_every_wrong_there_is_is_tried_here() -> None:
    assert {name for name, _ in _WRONGS.values()} == set(MUST_BE_NONE)


def test_an_acknowledged_task_that_is_gone_is_named() -> None:
    found = _drawn_up(_books(), ("one", "two", "three"))
    assert not found.exact
    assert found.wrong() == {"acknowledged_and_gone": ["three"]}


def test_a_task_that_does_not_end_is_counted() -> None:
    books = _books()
    books.ours[1]["status"] = "submitted"
    found = _drawn_up(books)
    assert not found.exact
    assert (found.open, found.unended) == (1, 1)
    assert found.sum_of_states().endswith("+ 1 open")


def test_a_503_that_does_not_say_when_to_return_is_counted() -> None:
    assert _drawn_up(_books(), met={"503": 3, "no answer": 2}).exact
    assert not _drawn_up(_books(), met={"503 without Retry-After": 1}).exact


def test_a_lost_task_may_be_found_and_end_once_more() -> None:
    books = _books()
    events: Any = books.events
    kinds = ["task.created", "task.lost", "task.found", "task.succeeded"]
    events["one"] = [{"seq": seq, "type": kind} for seq, kind in enumerate(kinds, 1)]
    assert _drawn_up(books).exact
