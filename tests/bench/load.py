"""How load is made: servers on one core, wrk on the other, and callers who come at a steady pace."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fixtures import Shot

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 64
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_SCRIPT = Path(__file__).with_name("replay.lua")
_PACED_CONNECTIONS = 32


class BenchError(Exception):
    """What is missing on this machine, or went wrong in a run."""


@dataclass(frozen=True, slots=True)
class Load:
    """What callers saw: answers, seconds, refusals (status 4xx, 5xx), broken connections, milliseconds."""

    answers: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    most_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    module: str, port: int, *arguments: str, slow_disk: bool = False, core: int = SERVER_CORE
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of ours on its core until the block ends; ``slow_disk`` makes each fsync take 2 ms longer."""
    command = [sys.executable, "-m", module, *arguments]
    if slow_disk:
        command = [*_slow_disk(), *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    with subprocess.Popen(
        [*_pinned(core), *command], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(server, port)
            yield server
        finally:
            # A tracer keeps SIGTERM from what it traces, so the whole group hears it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def fire(requests: Path, port: int, seconds: float, *, connections: int = CONNECTIONS) -> Load:
    """Send the requests of a file as fast as they are answered, and tell how that went. Raises BenchError."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is missing: apt-get install wrk")
    said = subprocess.run(
        [*_pinned(LOAD_CORE), wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
         "-s", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--", str(requests)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in said.stdout.splitlines():
        if line.startswith("measured "):
            answers, micros, refused, broken, p50, p99, most = (int(word) for word in line.split()[1:])
            return Load(answers, micros / 1e6, refused, broken, p50 / 1e3, p99 / 1e3, most / 1e3)
    raise BenchError(f"wrk told nothing: {said.stderr.strip()[:300]}")


def pace(shots: Sequence[Shot], port: int, per_second: float) -> Load:
    """Send callbacks at a steady pace, whether or not the earlier ones are answered, each once."""
    return asyncio.run(_pace(shots, port, per_second))


async def _pace(shots: Sequence[Shot], port: int, per_second: float) -> Load:
    if _cores() > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    took: list[float] = []
    refused = 0

    async def caller() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (shot := await waiting.get()) is not None:
            due, request = shot
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            refused += not head.startswith(b"HTTP/1.1 200")
            # From the time it was due: a late start is a delay too.
            took.append(time.perf_counter() - due)
        writer.close()

    callers = [asyncio.create_task(caller()) for _ in range(_PACED_CONNECTIONS)]
    begun = time.perf_counter()
    for number, shot in enumerate(shots):
        due = begun + number / per_second
        if (rest := due - time.perf_counter()) > 0:
            await asyncio.sleep(rest)
        waiting.put_nowait((due, shot.request(port)))
    for _ in callers:
        waiting.put_nowait(None)
    await asyncio.gather(*callers)
    seconds = time.perf_counter() - begun
    if _cores() > 1:
        os.sched_setaffinity(0, set(range(_cores())))
    return Load(
        len(took), seconds, refused, 0, percentile(took, 50) * 1e3, percentile(took, 99) * 1e3, max(took) * 1e3
    )


def percentile(values: Sequence[float], which: int) -> float:
    """Return a percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[which - 1]


def processor_seconds(*pids: int) -> float:
    """Return the seconds of a core that processes have taken so far; one that has ended counts for nothing."""
    taken = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            taken += int(after_the_name[11]) + int(after_the_name[12])
    return taken / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Return the processes that one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _pinned(core: int) -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core)] if taskset and _cores() > 1 else []


def _cores() -> int:
    return os.cpu_count() or 1


def _slow_disk() -> list[str]:
    strace = shutil.which("strace")
    if strace is None:
        raise BenchError("strace is missing, which makes the disk slow: apt-get install strace")
    calls = "fsync,fdatasync"
    return [strace, "-f", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={calls}", "-e",
            f"inject={calls}:delay_exit=2000"]  # fmt: skip


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise BenchError(f"a server ended at once with {server.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
            # Whoever starts may listen long before it answers, and that wait is none of what is measured.
            asking.settimeout(_START_SECONDS)
            asking.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            asking.recv(1)
            return
        time.sleep(0.05)
    raise BenchError("a server never answered")
