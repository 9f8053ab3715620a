"""Bad weather: the service as a process whose clock a test moves and whose database it takes the pen from.

Run as a program this is `receiver serve` on a `System` and an event loop that add to the time what a file says: hours
pass for every timer, deadline and time-out at once. Imported, it is what the tests write that file with.
"""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import Engine, event

from receiver import bootstrap
from receiver.system import RealSystem
from tests.harness import API_KEY, Stack, running

_FILE = "WEATHER_FILE"


@dataclass(frozen=True)
class Sky:
    """How time differs from the machine's: ``passed`` seconds for every clock, ``set`` for the wall clock alone."""

    passed: float = 0.0
    set: float = 0.0
    read_only: bool = False


def look(path: Path) -> Sky:
    return Sky(**json.loads(path.read_text("utf-8")))


# ------------------------------------------------------------------------------------------------ the program
class MovedSystem(RealSystem):
    """The machine's own, but for the time."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def now(self) -> datetime:
        sky = look(self._path)
        return super().now() + timedelta(seconds=sky.passed + sky.set)

    def monotonic(self) -> float:
        return super().monotonic() + look(self._path).passed


class MovedLoop(asyncio.SelectorEventLoop):
    """A loop whose timers run out when the hours pass that they were waiting for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()

    def time(self) -> float:
        return super().time() + look(self._path).passed


def serve(path: Path, host: str, port: int) -> None:
    """Serve as the command does. The database takes no writes while the sky says so, on whichever connection."""

    def connected(connection: sqlite3.Connection, _: object) -> None:
        if look(path).read_only:
            connection.execute("PRAGMA query_only = ON")

    event.listen(Engine, "connect", connected)
    with asyncio.Runner(loop_factory=lambda: MovedLoop(path)) as runner:
        runner.run(
            bootstrap.serve(
                bootstrap.load_settings(),
                host=host,
                port=port,
                roles=frozenset({"all"}),
                ready=lambda _: None,
                system=MovedSystem(path),
            )
        )


# ------------------------------------------------------------------------------------------------ for the tests
@dataclass
class Weather:
    """A running service and its sky."""

    stack: Stack
    path: Path
    sky: Sky = field(default_factory=Sky)

    def change(self, sky: Sky) -> None:
        """Change the sky, at once for whoever looks."""
        self.sky = sky
        write(self.path, sky)

    def pass_time(self, seconds: float) -> None:
        self.change(replace(self.sky, passed=self.sky.passed + seconds))

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock by so much, without time passing."""
        self.change(replace(self.sky, set=self.sky.set + seconds))

    def now(self) -> datetime:
        """Return the time as the service has it."""
        return datetime.now(UTC) + timedelta(seconds=self.sky.passed + self.sky.set)

    def cli(self, *arguments: str) -> str:
        """Run the real command against the service and return what it printed; it must not fail."""
        ended = subprocess.run(
            [sys.executable, "-m", "receiver", *arguments, "--url", self.stack.service.url],
            env={
                **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
                "RECEIVER_API_KEY": API_KEY.partition(":")[2],
                "COLUMNS": "150",
                "NO_COLOR": "1",
            },
            cwd=self.stack.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        # Shown beside a test that fails.
        sys.stdout.write(f"$ receiver {' '.join(arguments)}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def log(self) -> list[dict[str, object]]:
        """Return the lines the service has written."""
        return [json.loads(line) for line in self.stack.service.words().splitlines() if line.startswith("{")]

    def assert_calm_log(self) -> None:
        """No stack of frames and no unexpected error: what went wrong was known to."""
        words = self.stack.service.words()
        assert "Traceback" not in words
        for line in self.log():
            assert not {"exception", "where"} & line.keys(), line
        assert not re.search(r'"status": 500', words)


def write(path: Path, sky: Sky) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(asdict(sky)), "utf-8")
    fresh.replace(path)


@contextmanager
def weather(
    folder: Path, *, settings: Mapping[str, str] | None = None, prepare: Callable[[], None] = lambda: None
) -> Iterator[Weather]:
    """Run the sandbox and the service with a movable sky for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sky.json"
    write(path, Sky())
    prepare()
    with running(folder, settings={**(settings or {}), _FILE: str(path)}, serve=False) as stack:
        stack.service.program = (str(Path(__file__).absolute()),)
        stack.service.environment = {**stack.service.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
        # The hours that pass close connections that are kept for later.
        stack.http.close()
        stack.http = httpx.Client(timeout=120, limits=httpx.Limits(max_keepalive_connections=0))
        stack.service.start()
        yield Weather(stack, path)


if __name__ == "__main__":
    serve(Path(os.environ[_FILE]), sys.argv[3], int(sys.argv[5]))
