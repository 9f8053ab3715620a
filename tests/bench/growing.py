"""What work costs as a database grows: claims among many tasks, callbacks kept beside many that were kept before."""

import asyncio
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from receiver.domain.report import NewReport, Via
from receiver.lifecycle.ports import BodyLimits
from receiver.storage.store import open_store
from receiver.system import RealSystem
from tests.bench.load import BenchError
from tests.postgresql import Server

#: How often each database takes its turn.
ROUNDS = 3
#: Tasks claimed at once, and how often in all; as many are due, however many there are.
_CLAIM, _CLAIMS = 500, 12
#: Results claimed at once, to fetch their audio, and how often.
_FETCHED, _FETCHES = 16, 60
#: Callbacks kept for one figure, and how many of them are under way at a time.
_CALLBACKS, _AT_ONCE = 6_000, 64
_LEASE = timedelta(hours=1)
#: What makes no order of an order, within an hour of microseconds.
_SCATTERS, _WITHIN = 2_654_435_761, 3_600_000_000
_BODY = b'{"data":[{"taskType":"audioInference","status":"success","audioURL":"https://files.example.org/a.mp3"}]}'
_TASKS = (
    "INSERT INTO tasks (key, id, provider, model, created_at, deadline_seconds, status, overdue, provider_task_id,"
    " pushed, submitted_at, completed_at, deadline_at, polls, callbacks, work, due_at, tries, attempts, missed,"
    " last_seq) VALUES (?, ?, 'runware', 'minimax:music@cover', ?, 60, ?, 0, ?, 1, ?, ?, ?, 1, 1, ?, ?, 0, 1, 0, 3)"
)
_REQUESTS = "INSERT INTO requests (task_key, request) SELECT key, ? FROM tasks"
_REQUEST = '{"prompt":"bossa nova with nylon guitar","reference_audio":"https://files.example.org/a.mp3","count":1}'
_RESULTS = (
    "INSERT INTO results (task_key, position, id, identity, via, received_at, report_id, inline, late, link)"
    " SELECT key, 0, randomblob(16), 'audio', 'callback', created_at, randomblob(16), 0, 0,"
    " 'https://files.example.org/a.mp3' FROM tasks"
)
#: All of it due within the last hour, every other with a link that dies within the next day.
_ARTIFACTS = (
    "INSERT INTO artifacts (task_key, position, result_id, link_expires_at, status, due_at, attempts, refusals)"
    " SELECT task_key, 0, id, CASE WHEN abs(random()) % 2 THEN ? + abs(random()) % 86400000000 END, 'pending',"
    " ? - abs(random()) % 3600000000, 0, 0 FROM results"
)
_REPORTS = (
    "INSERT INTO reports (id, task_key, provider, via, received_at, size, sha256, sliced, body)"
    " VALUES (?, ?, 'runware', 'callback', ?, ?, ?, 0, ?)"
)
#: The same rows, made where they are kept: sending millions would be most of the time.
_KEY = "(lpad(to_hex(n), 16, '0') || substr(md5(n::text), 1, 16))::uuid"
_TASKS_SHARED = (
    "INSERT INTO tasks (key, id, provider, model, created_at, deadline_seconds, status, overdue, provider_task_id,"
    " pushed, submitted_at, completed_at, deadline_at, polls, callbacks, work, due_at, tries, attempts, missed,"
    " last_seq) SELECT {key}, gen_random_uuid(), 'runware', 'minimax:music@cover', created, 60,"
    " CASE WHEN way THEN 'submitted' ELSE 'succeeded' END, false, n::text, true, created,"
    " CASE WHEN NOT way THEN created + interval '1 min' END, now() + interval '1 min', 1, 1,"
    " CASE WHEN way THEN 'poll' END,"
    " CASE WHEN due THEN now() - (n::bigint * {scatters} % {within}) * interval '1 us'"
    " WHEN way THEN now() + interval '1 h' END, 0, 1, false, 3"
    " FROM (SELECT n, due, due OR n % 50 = 1 AS way, now() - ({count} - n) * interval '1 s' AS created FROM"
    " (SELECT n, n % {due_every} = 0 AND n / {due_every} < {due} AS due FROM generate_series(0, {count} - 1) AS n)"
    " AS numbered) AS made"
)
_REPORTS_SHARED = (
    "INSERT INTO reports (id, task_key, provider, via, received_at, size, sha256, sliced, body)"
    " SELECT {key}, {key}, 'runware', 'callback', now(), {size},"
    " decode(md5(n::text) || md5(n::text), 'hex'), false, decode('{body}', 'hex')"
    " FROM generate_series(0, {count} - 1) AS n"
)


def with_tasks(folder: Path, tasks: int) -> Path:
    """Return a database of so many tasks, 6,000 of them due."""
    path = folder / f"tasks-{tasks}.db"
    asyncio.run(_made(path))
    with closing(_opened(path)) as connection:
        connection.executemany(_TASKS, _task_rows(tasks, round(datetime.now(UTC).timestamp() * 1e6)))
        connection.execute(_REQUESTS, (_REQUEST,))
        connection.commit()
    return path


def with_audio(folder: Path, results: int) -> Path:
    """Return a database in which the audio of so many results waits to be fetched."""
    path = folder / f"audio-{results}.db"
    asyncio.run(_made(path))
    now = round(datetime.now(UTC).timestamp() * 1e6)
    with closing(_opened(path)) as connection:
        connection.executemany(_TASKS, _task_rows(results, now))
        connection.execute(_REQUESTS, (_REQUEST,))
        connection.execute(_RESULTS)
        connection.execute(_ARTIFACTS, (now, now))
        connection.commit()
    return path


def with_reports(folder: Path, reports: int) -> Path:
    """Return a database of so many reports."""
    path = folder / f"reports-{reports}.db"
    asyncio.run(_made(path))
    with closing(_opened(path)) as connection:
        connection.executemany(_REPORTS, _report_rows(reports))
        connection.commit()
    return path


def claims(path: Path | str) -> float:
    """Return the milliseconds that claiming 500 due tasks takes, in the middle of a third of those due."""

    async def measure() -> float:
        took = []
        now = datetime.now(UTC)
        async with open_store(path) as store:
            for _ in range(_CLAIMS // ROUNDS):
                begun = time.perf_counter()
                claimed = await store.lease_looks("runware", now=now, limit=_CLAIM, lease=_LEASE)
                took.append(time.perf_counter() - begun)
                if len(claimed) != _CLAIM:
                    raise BenchError(f"{len(claimed)} tasks were claimed instead of {_CLAIM}")
        # The first compiles its statements and reads its pages.
        return statistics.median(took[1:]) * 1e3

    return asyncio.run(measure())


def fetches(path: Path) -> float:
    """Return the milliseconds that claiming 16 results takes whose audio is to be fetched."""

    async def measure() -> float:
        took = []
        async with open_store(path) as store:
            for _ in range(_FETCHES // ROUNDS):
                begun = time.perf_counter()
                claimed = await store.lease_artifacts(now=datetime.now(UTC), limit=_FETCHED, lease=_LEASE)
                took.append(time.perf_counter() - begun)
                if len(claimed) != _FETCHED:
                    raise BenchError(f"{len(claimed)} results were claimed instead of {_FETCHED}")
        return statistics.median(took[1:]) * 1e3

    return asyncio.run(measure())


def ingests(path: Path | str) -> float:
    """Return how many callbacks a second are kept."""

    async def measure() -> float:
        system, limits = RealSystem(), BodyLimits()
        waiting = iter([_report(system) for _ in range(_CALLBACKS)])

        async with open_store(path) as store:

            async def caller() -> None:
                for report in waiting:
                    await store.append(report, limits)

            begun = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
            return _CALLBACKS / (time.perf_counter() - begun)

    return asyncio.run(measure())


def with_tasks_shared(server: Server, tasks: int) -> str:
    """Return a database on PostgreSQL like that of ``with_tasks``, by its URL."""
    url = server.database()
    asyncio.run(_made(url))
    due = {
        "due": _CLAIM * _CLAIMS,
        "due_every": tasks // (_CLAIM * _CLAIMS),
        "scatters": _SCATTERS,
        "within": _WITHIN,
    }
    server.ask(_TASKS_SHARED.format(key=_KEY, count=tasks, **due), of=url)
    server.ask(_REQUESTS.replace("?", f"'{_REQUEST}'"), of=url)
    server.ask("VACUUM ANALYZE", of=url)
    return url


def with_reports_shared(server: Server, reports: int) -> str:
    """Return a database on PostgreSQL like that of ``with_reports``, by its URL."""
    url = server.database()
    asyncio.run(_made(url))
    server.ask(_REPORTS_SHARED.format(key=_KEY, count=reports, body=_BODY.hex(), size=len(_BODY)), of=url)
    server.ask("VACUUM ANALYZE", of=url)
    return url


async def _made(path: Path | str) -> None:
    async with open_store(path):
        pass


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database to fill it: what is lost in an outage is made again."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _task_rows(count: int, now: int) -> Iterator[tuple[object, ...]]:
    """Yield tasks as after a while: nearly all have ended, some are under way, and those due lie among them."""
    due_every = count // (_CLAIM * _CLAIMS)
    for number in range(count):
        key, created = number.to_bytes(8) + os.urandom(8), now - (count - number) * 1_000_000
        due = number % due_every == 0 and number // due_every < _CLAIM * _CLAIMS
        under_way = due or number % 50 == 1
        yield (
            key,
            os.urandom(16),
            created,
            "submitted" if under_way else "succeeded",
            str(number),
            created,
            None if under_way else created + 60_000_000,
            now + 60_000_000,
            "poll" if under_way else None,
            now - 1 - _scattered(number) if due else now + 60_000_000 + number if under_way else None,
        )


def _scattered(number: int) -> int:
    """Return microseconds within an hour, in no order: what falls due next was made at any time."""
    return number * _SCATTERS % _WITHIN


def _report_rows(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        yield (
            number.to_bytes(8) + os.urandom(8),
            number.to_bytes(8) + os.urandom(8),
            number,
            len(_BODY),
            os.urandom(32),
            _BODY,
        )


def _report(system: RealSystem) -> NewReport:
    task_key: UUID = system.new_key()
    body = _BODY + task_key.bytes.hex().encode()
    return NewReport(
        id=system.new_key(),
        task_key=task_key,
        provider="runware",
        via=Via.CALLBACK,
        received_at=system.now(),
        body=body,
        sha256=sha256(body).digest(),
        size=len(body),
    )
