"""The lines that are measured, each against a peer in the same run; the figures that must hold stand beside them."""

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from receiver.storage.sqlite import connect, driver
from tests.bench.fixtures import loaded_for, shots_with_tasks, shots_without_tasks, write_requests
from tests.bench.growing import ROUNDS, claims, fetches, ingests, with_audio, with_reports, with_tasks
from tests.bench.load import BenchError, Load, fire, free_port, pace, percentile, serving
from tests.bench.pages import of_many
from tests.bench.waiting import TRUTHS, after_looking, after_observing, known, mean

_OURS = "tests.bench.service"
_PEERS = "tests.bench.peers"
#: More callbacks a second than any of the servers takes: a request file must not run out within a round.
_MOST_PER_SECOND = 30_000
_MOST_SETTLED_PER_SECOND = 9_000
_DRAIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often: seconds of one round, rounds, seconds of a run that also settles; and how large a
    database is that has grown.
    """

    seconds: float = 8.0
    rounds: int = 5
    settle_seconds: float = 30.0
    tasks: int = 1_000_000
    reports: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: a value for each round, and what must hold (``floor``) and is hoped for (``goal``).

    ``rising``: more is better. ``beside`` are the absolute figures the value was made of.
    """

    name: str
    what: str
    unit: str
    values: tuple[float, ...]
    floor: float
    goal: float
    rising: bool
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    @property
    def holds(self) -> bool:
        """Whether the floor is reached."""
        return self.median >= self.floor if self.rising else self.median <= self.floor

    @property
    def reaches(self) -> bool:
        """Whether the goal is reached."""
        return self.median >= self.goal if self.rising else self.median <= self.goal


def receiving(folder: Path, plan: Plan) -> list[Figure]:
    """S1, S5: receiving alone, beside the framework alone and beside a typical receiver."""
    port = free_port()
    count = int(_MOST_PER_SECOND * plan.seconds)
    ours, bare, typical = [], [], []
    shots = shots_without_tasks(folder / "receiving", count)
    requests = folder / "receiving.requests"
    write_requests(shots, port, requests)
    for number in range(plan.rounds):
        with serving(f"{_PEERS}.starlette_reads", port, str(port)):
            bare.append(_clean(fire(requests, port, plan.seconds)))
        # Each round begins empty: what is measured twice would else be duplicates.
        data = _copied(folder / "receiving", folder / f"receiving-{number}")
        with serving(_OURS, port, str(data), str(port)):
            ours.append(_clean(fire(requests, port, plan.seconds)))
        with serving(f"{_PEERS}.typical", port, str(folder / f"typical-{number}"), str(port)):
            typical.append(_clean(fire(requests, port, plan.seconds)))
    rates = {"receiver/s": _middle(ours), "starlette/s": _middle(bare), "typical/s": _middle(typical)}
    return [
        Figure("S1", "verified and durable callbacks ÷ Starlette that reads the body", "ratio",
               _ratios(ours, bare), 0.55, 0.85, rising=True, beside=rates),
        Figure("S5", "the same ÷ FastAPI and SQLAlchemy, a transaction each", "times",
               _ratios(ours, typical), 10, 20, rising=True, beside=rates),
    ]  # fmt: skip


def slow_disk(folder: Path, plan: Plan) -> list[Figure]:
    """S4: receiving on a disk that needs 2 ms more for each fsync, beside one commit for each request."""
    port = free_port()
    shots = shots_without_tasks(folder / "slow", int(_MOST_PER_SECOND * plan.seconds))
    requests = folder / "slow.requests"
    write_requests(shots, port, requests)
    ours, single = [], []
    for number in range(plan.rounds):
        data = _copied(folder / "slow", folder / f"slow-{number}")
        with serving(_OURS, port, str(data), str(port), slow_disk=True):
            ours.append(_clean(fire(requests, port, plan.seconds)))
        with serving(f"{_PEERS}.one_commit", port, str(folder / f"single-{number}"), str(port), slow_disk=True):
            single.append(_clean(fire(requests, port, plan.seconds)))
    return [
        Figure("S4", "slow disk: callbacks ÷ one commit for each request", "times", _ratios(ours, single), 15, 28,
               rising=True, beside={"receiver/s": _middle(ours), "single/s": _middle(single)})
    ]  # fmt: skip


def settling(folder: Path, plan: Plan) -> list[Figure]:
    """S1b, S3, S7: everything that is received is also settled, until nothing is left."""
    port = free_port()
    shots = shots_with_tasks(folder / "settling", int(_MOST_SETTLED_PER_SECOND * plan.settle_seconds))
    requests = folder / "settling.requests"
    write_requests(shots, port, requests)
    rounds = max(1, plan.rounds // 2)
    bare, whole, p99, received = [], [], [], []
    for number in range(rounds):
        with serving(f"{_PEERS}.starlette_reads", port, str(port)):
            bare.append(_clean(fire(requests, port, plan.seconds)))
        data = _copied(folder / "settling", folder / f"settling-{number}")
        database = data / "var" / "receiver.db"
        with serving(_OURS, port, str(data), str(port), "--settle"):
            load = _clean(fire(requests, port, plan.settle_seconds))
            whole.append(_drained(database))
        p99.append(load.p99_ms)
        received.append(load.rate)
    rates = {"settled/s": statistics.median(whole), "received/s": statistics.median(received)}
    bare_rate = _middle(bare)
    return [
        Figure("S1b", "received and settled ÷ Starlette that reads the body", "ratio",
               tuple(rate / bare_rate for rate in whole), 0.40, 0.60, rising=True, beside=rates),
        Figure("S3", "acknowledgement at 64 connections while settling, p99", "ms", tuple(p99), 20, 8, rising=False,
               beside=rates),
        Figure("S7", "callbacks settled a second, sustained while receiving", "/s", tuple(whole), 5000, 15000,
               rising=True, beside=rates),
    ]  # fmt: skip


def lag(folder: Path, plan: Plan) -> list[Figure]:
    """S8: from 200 to settled at a steady pace."""
    figures = []
    for per_second in (300, 3000):
        port = free_port()
        data = folder / f"lag-{per_second}"
        shots = shots_with_tasks(data, int(per_second * plan.seconds))
        with serving(_OURS, port, str(data), str(port), "--settle"):
            load = _clean(pace(shots, port, per_second))
            _drained(data / "var" / "receiver.db")
        lags = _lags(data / "var" / "receiver.db")
        figures.append(
            Figure("S8", f"200 → settled at {per_second} callbacks/s, p99", "ms", (percentile(lags, 99) * 1e3,),
                   250, 25, rising=False,
                   beside={"p50 ms": percentile(lags, 50) * 1e3, "answer p99 ms": load.p99_ms, "came/s": load.rate})
        )  # fmt: skip
    return figures


def starting(folder: Path, plan: Plan) -> list[Figure]:
    """S13: ready, help, memory at rest."""
    ready, help_, memory = [], [], []
    for number in range(plan.rounds):
        port = free_port()
        data = folder / f"starting-{number}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
        environment |= {"RECEIVER_DATA_DIR": str(data), "RUNWARE_API_KEY": "bench-key-of-no-provider"}
        begun = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve", "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as service:
            while not _is_ready(port):
                if service.poll() is not None or time.monotonic() - begun > _DRAIN_SECONDS:
                    raise BenchError("the service did not start")
                time.sleep(0.02)
            ready.append(time.monotonic() - begun)
            time.sleep(2)
            memory.append(_resident_megabytes(service.pid))
            service.terminate()
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "receiver", "--help"], stdout=subprocess.DEVNULL, check=True)
        help_.append(time.monotonic() - begun)
    return [
        Figure("S13", "`receiver serve` ready", "s", tuple(ready), 2.0, 1.0, rising=False),
        Figure("S13", "`receiver --help`", "s", tuple(help_), 0.45, 0.3, rising=False),
        Figure("S13", "memory at rest", "MB", tuple(memory), 150, 90, rising=False),
    ]


def waiting(_: Path, plan: Plan) -> list[Figure]:
    """S10: what the learned looks cost beside the best there could be; exact, so no round differs from another."""
    figures = []
    for what, prices in (
        ("cost of waiting, learned from 50 callbacks ÷ the least", after_observing),
        ("the same, learned from 100 tasks that were only looked at", after_looking),
    ):
        ratios = {name: mean(prices(name, plan.rounds)).cost / known(name)[1] for name in TRUTHS}
        figures.append(Figure("S10", what, "times", tuple(ratios.values()), 1.10, 1.03, rising=False, beside=ratios))
    return figures


def growing(folder: Path, plan: Plan) -> list[Figure]:
    """S12: claims and callbacks in a database that has grown, beside a small one."""
    few = 10_000
    small, large = with_tasks(folder, few), with_tasks(folder, plan.tasks)
    empty, full = with_reports(folder, 0), with_reports(folder, plan.reports)
    backlogs = few, plan.tasks // 5
    short, long = (with_audio(folder, waiting) for waiting in backlogs)
    fetched = [(fetches(short), fetches(long)) for _ in range(ROUNDS)]
    took = [(claims(small), claims(large)) for _ in range(ROUNDS)]
    kept = [(ingests(empty), ingests(full)) for _ in range(ROUNDS)]
    return [
        Figure("S12", f"claiming among {plan.tasks:,} tasks ÷ {few:,}", "times",
               tuple(many / few for few, many in took), 2.0, 1.3, rising=False,
               beside={"ms": min(many for _, many in took), "ms among few": min(few for few, _ in took)}),
        Figure("S12", f"claiming audio while {backlogs[1]:,} results wait ÷ {backlogs[0]:,}", "times",
               tuple(many / few for few, many in fetched), 2.0, 1.3, rising=False,
               beside={"ms": min(many for _, many in fetched), "ms of few": min(few for few, _ in fetched)}),
        Figure("S12", f"keeping callbacks beside {plan.reports:,} reports ÷ none", "ratio",
               tuple(many / none for none, many in kept), 0.7, 0.9, rising=True,
               beside={"callbacks/s": max(many for _, many in kept), "beside none": max(none for none, _ in kept)}),
    ]  # fmt: skip


def looking(folder: Path, plan: Plan) -> list[Figure]:
    """S14: a page of the dashboard in a database that has grown."""
    few, many = of_many(folder, 10_000), of_many(folder, plan.tasks)
    slowest = max(many, key=lambda path: many[path])
    return [
        Figure("S14", f"the slowest page over {plan.tasks:,} tasks ({slowest})", "ms", (many[slowest],), 100, 30,
               rising=False, beside={**{f"{path} ms": took for path, took in many.items()},
                                     "the slowest over 10,000": max(few.values())})
    ]  # fmt: skip


#: In the order in which they run: by the name under which one is asked for.
GROUPS: Mapping[str, Callable[[Path, Plan], Sequence[Figure]]] = {
    "receiving": receiving,
    "slow-disk": slow_disk,
    "settling": settling,
    "lag": lag,
    "starting": starting,
    "waiting": waiting,
    "growing": growing,
    "pages": looking,
}


def database_settings(folder: Path) -> dict[str, str]:
    """Return what the service's own connection says of its durability."""
    loaded = loaded_for(folder / "settings")
    loaded.settings.data_dir.mkdir(parents=True, exist_ok=True)
    connection = connect(loaded.settings.sqlite_path, writes=True)
    below = driver(connection)
    names = ("journal_mode", "synchronous", "wal_autocheckpoint", "cache_size")
    settings = {name: str(below.execute(f"PRAGMA {name}").fetchone()[0]) for name in names}
    connection.close()
    return {"sqlite": sqlite3.sqlite_version, **settings}


def _clean(load: Load) -> Load:
    if load.refused or load.broken:
        raise BenchError(f"{load.refused} refused and {load.broken} broken of {load.answers}: that is no measure")
    return load


def _middle(loads: Sequence[Load]) -> float:
    return statistics.median(load.rate for load in loads)


def _ratios(ours: Sequence[Load], theirs: Sequence[Load]) -> tuple[float, ...]:
    return tuple(mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True))


def _copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def _drained(database: Path) -> float:
    """Wait until the inbox is empty and return how many tasks were settled a second.

    From the first callback received to the last one settled: the load's own start is no time of the service's, nor is
    it counted where nothing is settled.
    """
    end = time.monotonic() + _DRAIN_SECONDS
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        while connection.execute("SELECT EXISTS (SELECT 1 FROM inbox)").fetchone()[0]:
            if time.monotonic() > end:
                raise BenchError(f"callbacks were not settled within {_DRAIN_SECONDS:g} s")
            time.sleep(0.1)
        settled, last = connection.execute("SELECT count(settled_at), max(settled_at) FROM tasks").fetchone()
        [first] = connection.execute("SELECT min(received_at) FROM reports").fetchone()
    finally:
        connection.close()
    if not settled:
        raise BenchError("nothing was settled")
    return float(settled / (last - first) * 1e6)


def _lags(database: Path) -> list[float]:
    """Return the seconds between receiving and settling of every task."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT (tasks.settled_at - reports.received_at) / 1e6 FROM tasks"
            " JOIN reports ON reports.task_key = tasks.key WHERE tasks.settled_at IS NOT NULL"
        ).fetchall()
    finally:
        connection.close()
    return [seconds for (seconds,) in rows]


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise BenchError("the kernel tells no memory of a process here")
