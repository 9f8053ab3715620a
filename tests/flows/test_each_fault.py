"""Every fault and every switch of the sandbox alone: it is met, every task ends, and the balance is exact.

One service and one sandbox serve all cases, one after another.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from receiver.sandbox.faults import Kind, fault_options
from tests.harness import TERMINAL, Books, Stack, balance, basic, read_books, reckon, running, wait_until

Request = Mapping[str, object]
RUNWARE, PAIR, AIMLAPI = basic("runware"), {**basic("runware"), "count": 2}, basic("aimlapi")
OF_BOTH: tuple[Request, ...] = (RUNWARE, PAIR, AIMLAPI)
SETTINGS = {
    "RECEIVER_RUNWARE_FIRST_POLL_SECONDS": "1",
    "RECEIVER_AIMLAPI_POLL_SECONDS": "0.3",
    # The last search late enough that a stall of seconds does not use up all of them.
    "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "0.5,1,2,4,8",
    "RECEIVER_REFUSAL_SECONDS": "0.05",
    "RECEIVER_MAX_MEDIA_BYTES": "500000",
}
#: What no case is about, and why.
LEFT_OUT = {
    "only": "says for whom the others hold",
    "seconds": "a measure, no fault",
    "tune_seconds": "a measure, no fault",
    "stall": "ends with the deadline: tests/flows/test_faults.py",
    "logs_per_minute": "takes a moment at which it is over: the same file",
    "no_file": "ends with the deadline: the same file",
    "result_seconds": "the same",
    "fresh_links": "asks for a link that dies: tests/flows/test_dead_links.py",
    "mixed_status": "each submit of ours holds one task, so none is answered for some of its tasks alone",
}


@dataclass(frozen=True)
class Seen:
    """What a case has left in the books: its tasks, their events, and the ledger's entries since it began."""

    books: Books

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return self.books.ours

    @property
    def entries(self) -> list[dict[str, Any]]:
        return self.books.theirs

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [call for entry in self.entries for call in entry["callbacks"]]

    @property
    def ways(self) -> set[str]:
        """How results came: callback, poll or submit."""
        return {result["via"] for task in self.tasks for result in task["results"]}

    def codes(self) -> set[str]:
        return {error["code"] for task in self.tasks for error in task["errors"]}

    def types(self, task: Mapping[str, Any]) -> list[str]:
        return [event["type"] for event in self.books.events.get(task["id"], [])]

    def each(self, kind: str) -> bool:
        """Tell whether every task has such an event."""
        return all(kind in self.types(task) for task in self.tasks)

    def attempted(self, *outcomes: str) -> bool:
        """Tell whether every task has had an attempt with one of these outcomes."""
        made = [event for task in self.tasks for event in self.books.events.get(task["id"], [])]
        hit = {event["task_id"] for event in made if event["data"].get("outcome") in outcomes}
        return len(hit) == len(self.tasks)

    def all_taken(self) -> bool:
        """Tell whether the provider has every task."""
        return len(self.entries) == len(self.tasks)

    def turned_away(self) -> bool:
        """Tell whether a look at every task was refused."""
        return self.all_taken() and all(entry["looks"] > entry["polls"] for entry in self.entries)


@dataclass(frozen=True)
class Case:
    """A fault, the proof that it was met, how its tasks may end, and the requests that meet it.

    ``then`` are the faults from the moment it was met; None leaves it as it is.
    """

    name: str
    faults: Mapping[str, object]
    met: Callable[[Seen], bool]
    ends: str = "succeeded"
    requests: tuple[Request, ...] = OF_BOTH
    then: Mapping[str, object] | None = None


def polled(seen: Seen) -> bool:
    return seen.ways == {"poll"}


def called(seen: Seen) -> bool:
    return {r["via"] for task in seen.tasks if task["provider"] == "runware" for r in task["results"]} == {"callback"}


def unobtainable(*words: str) -> Callable[[Seen], bool]:
    """Tell whether the tasks that ended without audio say why, in one of these ways."""

    def said(seen: Seen) -> bool:
        told = [error["message"] for task in seen.tasks for error in task["errors"]]
        return seen.codes() == {"artifact_unavailable"} and all(any(word in one for word in words) for one in told)

    return said


def failing(*codes: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.codes() == set(codes) and all(task["errors"] for task in seen.tasks)


def known_as(beginning: str, length: int) -> Callable[[Seen], bool]:
    """Tell whether the provider's ids begin so and have at least this length."""
    return lambda seen: all(
        task["provider_task_id"].startswith(tuple(beginning.split()) or "")
        and len(task["provider_task_id"]) >= length
        for task in seen.tasks
    )


def early(seen: Seen) -> bool:
    """Tell whether each task was called back before its submit was answered."""
    first = {entry["provider_task_id"]: entry["callbacks"][0]["sent_at"] for entry in seen.entries}
    made = {
        e["task_id"]: e["at"] for task in seen.tasks for e in seen.books.events[task["id"]] if "made" in e["type"]
    }
    return all(first[task_id] < made[task_id] for task_id in made)


ONLY_RUNWARE, ONLY_AIMLAPI = (RUNWARE, PAIR), (AIMLAPI, AIMLAPI)
LOST_ANSWER = {"lose_submit_answer": 1.0}
AT_SUBMIT, AT_POLL = {"http_error": 1.0, "http_on": "submit"}, {"http_error": 1.0, "http_on": "poll"}
#: Stands for a path of the sandbox, whose address is not known yet.
UPLOADS = "uploads"
INLINE = {**AIMLAPI, "reference_audio": base64.b64encode(b"ID3" + bytes(300)).decode()}
OTHER_MODEL = ({**RUNWARE, "model": "another:model@1", "provider_options": {"settings": {"mood": "calm"}}},)

CASES = [
    Case("fail", {"fail": 1.0}, failing("timeout", "unknown"), "failed"),
    Case("fail_code", {"fail": 1.0, "fail_code": "contentPolicyViolation"}, failing("moderation"), "failed"),
    Case("error_body flat", {"fail": 1.0, "error_body": "flat"}, failing("timeout"), "failed", ONLY_RUNWARE),
    Case("error_body error", {"fail": 1.0, "error_body": "error"}, failing("timeout"), "failed", ONLY_RUNWARE),
    Case("task_error", {"fail": 1.0, "task_error": "detail"}, failing("validation"), "failed", ONLY_AIMLAPI),
    Case("answer lost: close", LOST_ANSWER, lambda seen: seen.each("task.unknown")),
    *(
        Case(f"answer lost: {how}", {**LOST_ANSWER, "lose_submit_how": how}, lambda seen: seen.each("task.unknown"))
        for how in ("bad_gateway", "unreadable")
    ),
    *(
        Case(
            f"sent again, conflict {status}",
            {**LOST_ANSWER, "drop": 1.0, "hidden_seconds": 3.5, "conflict_status": status},
            lambda seen: all(entry["submits"] > 1 for entry in seen.entries),
            requests=ONLY_RUNWARE,
        )
        for status in (400, 409, 200)
    ),
    Case(
        "hidden_seconds",
        {"hidden_seconds": 4},
        lambda seen: all(task["polls"] > 1 for task in seen.tasks),
        requests=ONLY_AIMLAPI,
    ),
    Case(
        "unknown_task",
        {**AT_SUBMIT, "http_error_status": 503, "unknown_task": "error"},
        lambda seen: seen.attempted("unclear"),
        requests=ONLY_RUNWARE,
        then={"unknown_task": "error"},
    ),
    Case("drop", {"drop": 1.0}, lambda seen: polled(seen) and not seen.calls),
    Case("duplicate", {"duplicate": 1.0}, lambda seen: seen.each("callback.duplicate"), requests=ONLY_RUNWARE),
    Case("reorder", {"reorder": 1.0}, lambda seen: len(seen.calls) == 6, requests=(PAIR, PAIR, PAIR)),
    Case("early", {"early": 1.0}, early, requests=ONLY_RUNWARE),
    Case(
        "malformed callback",
        {"malformed": 1.0},
        lambda seen: seen.each("callback.quarantined"),
        requests=ONLY_RUNWARE,
    ),
    Case(
        "malformed answer",
        {"malformed": 1.0},
        lambda seen: seen.all_taken() and all(entry["polls"] > 2 for entry in seen.entries) and not seen.ways,
        requests=ONLY_AIMLAPI,
        then={},
    ),
    Case(
        "processing",
        {"processing": 1.0},
        lambda seen: any(call["copy"] == 0 for call in seen.calls),
        requests=ONLY_RUNWARE,
    ),
    Case("body", {"body": "flat"}, called, requests=ONLY_RUNWARE),
    Case("callback_attempts", {"callback_attempts": 0}, lambda seen: polled(seen) and not seen.calls),
    Case(
        "callback_seconds",
        {"callback_seconds": 0.0},
        lambda seen: bool(seen.calls) and not any(call["status_code"] for call in seen.calls),
        requests=ONLY_RUNWARE,
    ),
    Case(
        "upload_seconds",
        {"upload_seconds": 0.1},
        lambda seen: all(entry["uploads"] for entry in seen.entries),
        requests=({**RUNWARE, "upload_endpoint": UPLOADS},),
    ),
    Case(
        "http_429 at submit",
        {"http_429": 1.0, "retry_after": 1, "http_on": "submit"},
        lambda seen: seen.attempted("paused"),
        then={},
    ),
    Case(
        "http_429 at poll",
        {"http_429": 1.0, "retry_after": 1, "drop": 1.0, "http_on": "poll"},
        Seen.turned_away,
        then={},
    ),
    Case(
        "http_5xx at submit",
        {"http_5xx": 1.0, "http_on": "submit"},
        lambda seen: seen.each("task.unknown"),
        "succeeded lost",
        then={},
    ),
    Case("http_5xx at poll", {"http_5xx": 1.0, "drop": 1.0, "http_on": "poll"}, Seen.turned_away, then={}),
    Case("400 at submit", {**AT_SUBMIT, "http_error_status": 400}, lambda seen: seen.attempted("refused"), "failed"),
    *(
        Case(
            f"{status} at submit",
            {**AT_SUBMIT, "http_error_status": status},
            lambda seen: seen.attempted("paused"),
            then={},
        )
        for status in (402, 403)
    ),
    Case(
        "200 at submit",
        {**AT_SUBMIT, "http_error_status": 200},
        lambda seen: seen.attempted("paused", "unclear"),
        "succeeded lost",
        then={},
    ),
    # At Runware this would be a word about our money in a 200, which rests the provider for up to 40 s: the drill.
    Case(
        "200 at poll",
        {**AT_POLL, "http_error_status": 200},
        Seen.turned_away,
        requests=ONLY_AIMLAPI,
        then={},
    ),
    *(
        Case(f"{status} at poll", {**AT_POLL, "drop": 1.0, "http_error_status": status}, Seen.turned_away, then={})
        for status in (400, 404)
    ),
    Case("ack", {"ack": "empty"}, called, requests=ONLY_RUNWARE),
    Case("refusal_status", {"refusal_status": 422}, failing("validation"), "failed", OTHER_MODEL),
    Case("models", {"models": "any"}, called, requests=OTHER_MODEL),
    Case("status_words", {"status_words": "drift"}, called),
    Case("status_words polled", {"status_words": "drift", "drop": 1.0}, polled, requests=ONLY_RUNWARE),
    Case("status_words failing", {"status_words": "drift", "fail": 1.0}, failing("timeout", "unknown"), "failed"),
    Case("extra_fields", {"extra_fields": True}, called),
    Case("submit_status", {"submit_status": 201}, polled, requests=ONLY_AIMLAPI),
    Case("id_form dash", {"id_form": "dash"}, known_as("- _", 21), requests=ONLY_AIMLAPI),
    Case("id_form model", {"id_form": "model"}, known_as("", 40), requests=ONLY_AIMLAPI),
    Case("id_form uuid", {"id_form": "uuid"}, known_as("", 36), requests=ONLY_AIMLAPI),
    Case("null_fields", {"null_fields": True}, polled, requests=ONLY_AIMLAPI),
    Case(
        "error_envelope",
        {**AT_SUBMIT, "http_error_status": 400, "error_envelope": "general"},
        lambda seen: seen.attempted("refused"),
        "failed",
        ONLY_AIMLAPI,
    ),
    Case(
        "cost_headers",
        {"cost_headers": False},
        lambda seen: all(task["cost_usd"] for task in seen.tasks),
        requests=ONLY_AIMLAPI,
    ),
    Case("raw_base64", {"raw_base64": "refuse"}, failing("validation"), "failed", (INLINE,)),
    *(
        Case(f"media {how}", {"media": how}, unobtainable(words), "failed")
        for how, words in (
            ("gone", "127.0.0.1: answered 404"),
            ("html", "HTML"),
            ("gzip", "sent an encoding we did not ask for"),
            ("endless", "sent more than 500000 bytes"),
            ("understated", "MP3"),
        )
    ),
    # By turns the answer is complete and half the file, which is refused, or breaks off, which is tried again.
    *(
        Case(
            f"media truncated {form}",
            {"media": "truncated"},
            unobtainable(words),
            "succeeded failed",
            ({**RUNWARE, "output_format": form}, {**RUNWARE, "output_format": form}),
            then={},
        )
        for form, words in (("MP3", "MP3"), ("FLAC", "FLAC"), ("WAV", "WAV"))
    ),
    # What never comes whole is tried again until its link dies, and then the provider has no other.
    Case(
        "media overstated",
        {"media": "overstated", "media_seconds": 3},
        unobtainable("127.0.0.1: answered 403"),
        "failed",
    ),
    Case(
        "media_seconds",
        {"media_seconds": 0},
        unobtainable("127.0.0.1: answered 403"),
        "failed",
    ),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("each-fault"), settings=SETTINGS) as both:
        yield both


def submit(stack: Stack, request: Request) -> str:
    fields = dict(request)
    if fields.get("upload_endpoint") == UPLOADS:
        fields["upload_endpoint"] = f"{stack.sandbox.url}/{UPLOADS}"
    answer = stack.post("/v1/tasks", fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_alone_leaves_the_balance_exact(stack: Stack, case: Case) -> None:
    before = len(stack.ledger())
    quick: Mapping[str, object] = {"seconds": [0.0, 0.2], "tune_seconds": [0.1, 0.2]}
    stack.faults(**{**quick, **case.faults})
    ids = {submit(stack, request) for request in case.requests}

    def seen() -> Seen:
        books = read_books(stack.sides)
        ours = [task for task in books.ours if task["id"] in ids]
        return Seen(Books(ours, books.theirs[before:], {task_id: books.events[task_id] for task_id in ids}))

    def ended() -> bool:
        return all(stack.task(task_id)["status"] in TERMINAL for task_id in ids)

    if case.then is not None:
        wait_until(lambda: case.met(seen()), 20, f"{case.name} is met")
        stack.faults(**{**quick, **case.then})
    wait_until(ended, 60, "every task has ended")
    if case.then is None:
        wait_until(lambda: case.met(seen()), 10, f"{case.name} was met")
    end = seen()
    assert {task["status"] for task in end.tasks} <= set(case.ends.split())
    reckon(end.books).assert_exact()
    if end.attempted("unclear"):
        # Five submits in a row without a clear answer, and the provider is let rest: no case inherits from another.
        stack.faults(**quick)
        for request in case.requests:
            stack.wait_for(submit(stack, request))


def test_in_the_end_the_balance_of_all_cases_is_exact(stack: Stack) -> None:
    balance(stack).assert_exact()


def test_every_fault_and_every_word_of_it_has_a_case() -> None:
    met = {(name, value) for case in CASES for name, value in case.faults.items()}
    for option in fault_options():
        if option.name in LEFT_OUT:
            continue
        values = {value for name, value in met if name == option.name}
        assert values, f"no case has {option.name}"
        if option.kind is Kind.CHOICE:
            assert values >= {word for word in option.words if word != option.default}, option.name
