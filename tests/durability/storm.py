"""Many callbacks under every fault of the sandbox at once, in every form that a provider's words may take."""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path

from receiver.drill.account import Account, conclude
from receiver.drill.load import Load
from receiver.drill.sides import wait_for_rest
from tests.harness import Stack, basic, running, wait_until

#: What goes wrong all the time, each by the share of tasks, callbacks or requests it hits.
SHARES: Mapping[str, object] = {
    "seconds": [0.1, 1.0],
    "tune_seconds": [0.1, 0.2],
    "duplicate": 0.1,
    "reorder": 0.1,
    "drop": 0.05,
    "malformed": 0.02,
    "lose_submit_answer": 0.01,
    "early": 0.02,
    "processing": 0.02,
    "fail": 0.02,
    "http_5xx": 0.002,
    "http_429": 0.001,
    "retry_after": 1,
}
#: Forms and whole-hearted faults, one after another on top of the shares. A fault of the media is a gust: it
#: blows over before a link has been refused five times.
WEATHER: tuple[Mapping[str, object], ...] = (
    {},
    {"body": "flat", "status_words": "drift"},
    {"media": "gone"},
    {"error_body": "flat", "ack": "empty", "extra_fields": True},
    {"lose_submit_how": "bad_gateway", "submit_status": 201, "id_form": "dash"},
    {"media": "html"},
    {"error_body": "error", "id_form": "model", "null_fields": True},
    {"media": "truncated"},
    {"lose_submit_how": "unreadable", "task_error": "detail", "error_envelope": "general"},
    {"unknown_task": "error", "id_form": "uuid", "cost_headers": False},
    {"media": "gzip"},
    {"conflict_status": 200, "mixed_status": 400, "refusal_status": 422},
    {"media": "endless"},
    {"http_error": 0.002, "http_error_status": 402, "http_on": "submit"},
    {"http_error": 0.01, "http_error_status": 200, "http_on": "poll"},
    {"fail_code": "contentPolicyViolation"},
)
#: Each weather comes so often in one storm.
ROUNDS = 2
MOST_QUEUED = 50
#: Of every three tasks one is AIMLAPI's; the others ask Runware for 1, 2, 3 and 4 results by turns.
_CALLBACKS_OF_SIX_TASKS = 10
_FORMATS = ("MP3", "MP3", "WAV", "MP3", "FLAC")
SETTINGS = {
    "RECEIVER_AIMLAPI_LOOKUP_SECONDS": "2,5,10,20,40",
    "RECEIVER_REFUSAL_SECONDS": "0.5",
    "RECEIVER_MAX_MEDIA_BYTES": "2000000",
    # Audio that falls behind is rendered twice by the sandbox, which then has none of it at hand any more.
    "RECEIVER_COLLECT_CONCURRENCY": "32",
}


def storm(
    folder: Path,
    *,
    callbacks: int,
    seed: int,
    threads: int = 4,
    say: Callable[[str], None] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Account:
    """Submit tasks that are due so many callbacks, and return the account once every task has ended.

    ``settings`` are set beside those of every storm: where the database is, if not in the folder.
    """
    tasks = max(len(WEATHER), round(callbacks * 6 / _CALLBACKS_OF_SIX_TASKS))
    with running(folder, settings={**SETTINGS, **(settings or {})}, seed=seed) as stack:
        began = time.monotonic()
        load = Load(stack.sides, _requests(stack, tasks, say), threads)
        load.run()
        stack.faults(**SHARES)
        last = time.monotonic()
        if say is not None:
            say(f"{tasks} tasks submitted in {last - began:.0f} s")
        wait_for_rest(stack.sides, 120 + tasks / 10, every_seconds=max(0.25, tasks / 20_000))
        return conclude(f"{callbacks} callbacks under every fault", load, began, last, time.monotonic())


def _requests(stack: Stack, tasks: int, say: Callable[[str], None] | None) -> Iterator[Mapping[str, object]]:
    weather = cycle(WEATHER)
    step = max(1, tasks // (len(WEATHER) * ROUNDS))
    counts, formats = cycle((1, 2, 3, 4)), cycle(_FORMATS)
    for number in range(tasks):
        if number % step == 0:
            # The weather changes for tasks that meet it, not for a queue that waits to be sent.
            wait_until(lambda: stack.count_open("queued") < MOST_QUEUED, 300, "the queue is short", every_seconds=0.1)
            now = next(weather)
            stack.faults(**{**SHARES, **now})
            if say is not None:
                words = ", ".join(f"{name} {value}" for name, value in now.items())
                say(f"{number} of {tasks} tasks submitted; now {words or 'fair'}")
        if number % 3 == 2:
            yield basic("aimlapi")
        else:
            inline = {"output_type": "base64Data"} if number % 20 == 0 else {}
            yield {**basic("runware"), "count": next(counts), "output_format": next(formats), **inline}
