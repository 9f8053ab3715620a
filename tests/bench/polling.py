"""How late looks come where very many tasks are under way: one service, providers that never end a generation."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx

from receiver.bootstrap import migrate
from receiver.system import RealSystem
from tests.bench.fixtures import loaded_for
from tests.bench.lines import Figure, Plan
from tests.bench.load import LOAD_CORE, free_port, percentile, processor_seconds, serving

#: The seconds between an answer and the next look, as AIMLAPI documents them; and those an answer takes.
EVERY, ANSWER = 15.0, 0.05
_TASKS = (("aimlapi", "minimax/music-cover", 20_000), ("runware", "minimax:music@cover", 50_000))
_FLOOR, _GOAL = 2.0, 0.5
#: From the end of the preparation to the first look, while the service starts; and rounds of looks before the count.
_START, _ROUNDS_BEFORE = 5.0, 2
_PENDING = "tests.bench.peers.pending"
_HOUR = 3_600_000_000
_INSERT = (
    "INSERT INTO tasks (key, id, provider, model, created_at, deadline_seconds, status, overdue, provider_task_id,"
    " pushed, submitted_at, deadline_at, polls, callbacks, work, due_at, tries, attempts, last_seq)"
    " VALUES (?, ?, ?, ?, ?, 86400, 'submitted', 0, ?, 0, ?, ?, 0, 0, 'poll', ?, 0, 1, 3)"
)
_REQUESTS = (
    "INSERT INTO requests (task_key, request) SELECT key,"
    ' \'{"prompt":"bossa nova with nylon guitar","reference_audio":"https://files.example.org/a.mp3"}\' FROM tasks'
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the providers saw: seconds that each look was late, calls and looks a second, our µs of a core a look."""

    late: Mapping[str, Sequence[float]]
    missing: int
    calls: float
    looks: float
    micros: float
    cores: float


def polling(folder: Path, plan: Plan) -> list[Figure]:
    """S9: how late looks come at 20,000 tasks of AIMLAPI's and 50,000 of Runware's, each looked at every 15 s."""
    rounds = [watched(folder / f"polling-{number}", plan.settle_seconds) for number in range((plan.rounds + 1) // 2)]
    every = [[seconds for late in seen.late.values() for seconds in late] for seen in rounds]
    names = [name for name in rounds[0].late if all(len(seen.late[name]) > 1 for seen in rounds)]
    beside = {
        **{f"{name} p99 s": median(percentile(seen.late[name], 99) for seen in rounds) for name in names},
        "p50 s": median(percentile(late, 50) for late in every),
        "most s": max(map(max, every)),
        "not come in time": median(seen.missing for seen in rounds),
        "looks/s": median(seen.looks for seen in rounds),
        "calls/s": median(seen.calls for seen in rounds),
        "µs a look": median(seen.micros for seen in rounds),
        "cores": median(seen.cores for seen in rounds),
    }
    return [
        Figure("S9", "a look comes after it fell due, 70,000 tasks on a schedule of 15 s, p99", "s",
               tuple(percentile(late, 99) for late in every), _FLOOR, _GOAL, rising=False, beside=beside),
    ]  # fmt: skip


GROUPS: Mapping[str, Callable[[Path, Plan], Sequence[Figure]]] = {"polling": polling}


def watched(folder: Path, seconds: float) -> Seen:
    """Let the service look for two rounds, then for so many seconds, and tell what was seen meanwhile."""
    port, provider_port = free_port(), free_port()
    database, provider = _with_tasks(folder), f"http://127.0.0.1:{provider_port}"
    with (
        serving(_PENDING, provider_port, str(provider_port), str(EVERY), str(ANSWER), core=LOAD_CORE),
        httpx.Client(base_url=provider, timeout=60) as told_by,
    ):
        _fall_due(database)
        with serving("tests.bench.service", port, str(folder), str(port), "--settle", "--polls", provider) as service:
            time.sleep(_START + _ROUNDS_BEFORE * EVERY)
            told_by.get("/begin")
            spent = processor_seconds(service.pid)
            time.sleep(seconds)
            told = told_by.get("/told").json()
            spent = processor_seconds(service.pid) - spent
    late = {name: [*of["came"], *of["missing"]] for name, of in told["late"].items()}
    unseen = sum(count for _, _, count in _TASKS) - told["known"]
    # Each was due in the first round, if not at its end.
    late["never looked at"] = [(_ROUNDS_BEFORE - 1) * EVERY + seconds] * unseen
    looks = max(1, sum(told["looks"].values()))
    return Seen(
        late=late,
        missing=unseen + sum(len(of["missing"]) for of in told["late"].values()),
        calls=told["calls"] / told["seconds"],
        looks=looks / told["seconds"],
        micros=spent / looks * 1e6,
        cores=spent / told["seconds"],
    )


def _with_tasks(folder: Path) -> Path:
    """Write a database of tasks that are under way, and return its path."""
    loaded = loaded_for(folder)
    migrate(loaded)
    with closing(_opened(loaded.settings.sqlite_path)) as connection:
        connection.executemany(_INSERT, _rows())
        connection.execute(_REQUESTS)
        connection.commit()
    return loaded.settings.sqlite_path


def _rows() -> Iterator[tuple[object, ...]]:
    system = RealSystem()
    now = round(time.time() * 1e6)
    for provider, model, count in _TASKS:
        for number in range(count):
            task_id: UUID = system.new_id()
            name = str(task_id) if provider == "runware" else f"gen-{number:06d}"
            yield (
                system.new_key().bytes, task_id.bytes, provider, model, now, name, now, now + 24 * _HOUR, number,
            )  # fmt: skip


def _fall_due(database: Path) -> None:
    """Spread the first looks evenly over a round that begins in a moment; until now their times are numbers."""
    begins = round((time.time() + _START) * 1e6)
    with closing(_opened(database)) as connection:
        for provider, _, count in _TASKS:
            gap = round(EVERY * 1e6 / count)
            connection.execute("UPDATE tasks SET due_at = due_at * ? + ? WHERE provider = ?", (gap, begins, provider))
        connection.commit()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection
