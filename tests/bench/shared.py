"""The lines of PostgreSQL, on a server of the run's own that syncs, on the core of whoever makes the load."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.fixtures import shots_with_tasks, shots_without_tasks, write_requests
from tests.bench.growing import ROUNDS, claims, ingests, with_reports_shared, with_tasks_shared
from tests.bench.lines import Figure, Plan
from tests.bench.load import LOAD_CORE, BenchError, Load, children_of, fire, free_port, processor_seconds, serving
from tests.postgresql import Server
from tests.postgresql import serving as postgresql

_OURS, _STARLETTE = "tests.bench.service", "tests.bench.peers.starlette_reads"
_MOST_PER_SECOND, _MOST_SETTLED_PER_SECOND = 25_000, 6_000
_DRAIN_SECONDS = 300.0


def postgresql_lines(folder: Path, plan: Plan) -> list[Figure]:
    """S2, S2b: receiving and settling on PostgreSQL, beside the framework alone."""
    port = free_port()
    with _server() as server:
        received, settled = folder / "postgresql", folder / "postgresql-settling"
        # Made once and copied: each round begins with what it has not seen.
        nothing, tasks = server.database(), server.database()
        requests, others = folder / "postgresql.requests", folder / "postgresql-settling.requests"
        write_requests(
            shots_without_tasks(received, int(_MOST_PER_SECOND * plan.seconds), database=nothing), port, requests
        )
        write_requests(
            shots_with_tasks(settled, int(_MOST_SETTLED_PER_SECOND * plan.settle_seconds), database=tasks),
            port,
            others,
        )
        bare, ours, whole, p99 = [], [], [], []
        # Of a core, by callback: told beside the ratios, which on two cores tell as much of who shares one with whom.
        micros: dict[str, list[float]] = {"starlette": [], "receiving": [], "settling": [], "database": []}
        for number in range(plan.rounds):
            with serving(_STARLETTE, port, str(port)) as peer:
                before = processor_seconds(peer.pid)
                load = _clean(fire(requests, port, plan.seconds))
                bare.append(load.rate)
                micros["starlette"].append(_micros(processor_seconds(peer.pid) - before, load.answers))
            with (
                _copied(server, nothing) as url,
                serving(_OURS, port, str(received), str(port), "--database", url) as service,
            ):
                before = processor_seconds(service.pid)
                load = _clean(fire(requests, port, plan.seconds))
                ours.append(load.rate)
                micros["receiving"].append(_micros(processor_seconds(service.pid) - before, load.answers))
            if number % 2:
                continue
            with (
                _copied(server, tasks) as url,
                serving(_OURS, port, str(settled), str(port), "--database", url, "--settle") as service,
            ):
                database = children_of(server.pid)
                before, theirs = processor_seconds(service.pid), processor_seconds(*database)
                load = _clean(fire(others, port, plan.settle_seconds))
                done, seconds = _drained(server, url)
                whole.append(done / seconds)
                p99.append(load.p99_ms)
                micros["settling"].append(_micros(processor_seconds(service.pid) - before, done))
                micros["database"].append(_micros(processor_seconds(*database) - theirs, done))
    middle = statistics.median(bare)
    took = {name: statistics.median(values) for name, values in micros.items()}
    rates = {
        "receiver/s": statistics.median(ours),
        "starlette/s": middle,
        "our µs of a core": took["receiving"],
        "Starlette's": took["starlette"],
    }
    beside = {
        "settled/s": statistics.median(whole),
        "acknowledged p99 ms": statistics.median(p99),
        "our µs of a core": took["settling"],
        "the database's": took["database"],
    }
    return [
        Figure("S2", "PostgreSQL: callbacks ÷ Starlette that reads the body", "ratio",
               tuple(mine / other for mine, other in zip(ours, bare, strict=True)), 0.55, 0.90, rising=True,
               beside=rates),
        Figure("S2b", "PostgreSQL: received and settled ÷ Starlette that reads the body", "ratio",
               tuple(rate / middle for rate in whole), 0.40, 0.60, rising=True, beside=beside),
    ]  # fmt: skip


def growing_on_postgresql(_: Path, plan: Plan) -> list[Figure]:
    """S12 on PostgreSQL: claims and callbacks in a database that has grown, beside a small one."""
    few = 10_000
    with _server() as server:
        small, large = with_tasks_shared(server, few), with_tasks_shared(server, plan.tasks)
        took = [(claims(small), claims(large)) for _ in range(ROUNDS)]
        empty, full = with_reports_shared(server, 0), with_reports_shared(server, plan.reports)
        kept = [(ingests(empty), ingests(full)) for _ in range(ROUNDS)]
    return [
        Figure("S12", f"PostgreSQL: claiming among {plan.tasks:,} tasks ÷ {few:,}", "times",
               tuple(many / few for few, many in took), 2.0, 1.3, rising=False,
               beside={"ms": min(many for _, many in took), "ms among few": min(few for few, _ in took)}),
        Figure("S12", f"PostgreSQL: keeping callbacks beside {plan.reports:,} reports ÷ none", "ratio",
               tuple(many / none for none, many in kept), 0.7, 0.9, rising=True,
               beside={"callbacks/s": max(many for _, many in kept), "beside none": max(none for none, _ in kept)}),
    ]  # fmt: skip


GROUPS: Mapping[str, Callable[[Path, Plan], Sequence[Figure]]] = {
    "postgresql": postgresql_lines,
    "growing-postgresql": growing_on_postgresql,
}


@contextmanager
def _server() -> Iterator[Server]:
    """Run a server that syncs; it shares its core with whoever makes the load, as on a machine of two."""
    with postgresql(durable=True, settings={"shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(server.pid, {LOAD_CORE})
        yield server


@contextmanager
def _copied(server: Server, url: str) -> Iterator[str]:
    copy = server.database(url.partition("?")[0].rpartition("/")[2])
    yield copy
    server.ask(f"DROP DATABASE {copy.partition('?')[0].rpartition('/')[2]} WITH (FORCE)")


def _clean(load: Load) -> Load:
    if load.refused or load.broken:
        raise BenchError(f"{load.refused} refused and {load.broken} broken of {load.answers}: that is no measure")
    return load


def _micros(seconds: float, count: float) -> float:
    return seconds / max(count, 1) * 1e6


def _drained(server: Server, url: str) -> tuple[float, float]:
    """Wait until the inbox is empty; return how many tasks were settled, and the seconds that took.

    From the first callback received to the last one settled, as on SQLite.
    """
    end = time.monotonic() + _DRAIN_SECONDS
    while server.ask("SELECT EXISTS (SELECT 1 FROM inbox)", of=url) == [(True,)]:
        if time.monotonic() > end:
            raise BenchError(f"callbacks were not settled within {_DRAIN_SECONDS:g} s")
        time.sleep(0.1)
    [(settled, seconds)] = server.ask(
        "SELECT count(settled_at), extract(epoch FROM max(settled_at) - (SELECT min(received_at) FROM reports))"
        " FROM tasks",
        of=url,
    )
    if not settled:
        raise BenchError("nothing was settled")
    return float(str(settled)), float(str(seconds))
