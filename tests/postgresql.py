"""A PostgreSQL server of our own: on a socket in a folder of its own, gone when the tests are over."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from tests.harness import free_port, wait_until

T = TypeVar("T")
#: The folder that holds `initdb` and `postgres`, if not one of the usual places.
FOLDER_VARIABLE = "POSTGRESQL_BIN"
_USUAL = Path("/usr/lib/postgresql")
#: Whoever runs the tests as root: PostgreSQL refuses that user.
_INSTEAD_OF_ROOT = "nobody"
_FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": "60"}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    found = shutil.which("initdb")
    if found and (Path(found).parent / "postgres").exists():
        return Path(found).resolve().parent
    versions = sorted(_USUAL.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert versions, (
        f"PostgreSQL is not installed: apt-get install postgresql, or name its programs in {FOLDER_VARIABLE}"
    )
    return versions[-1].parent


class Server:
    """One server; ``port`` 0 listens on its socket alone."""

    def __init__(self, folder: Path, settings: Mapping[str, str], port: int) -> None:
        self._folder = folder
        self._port = port
        self._settings = settings
        self._programs = programs()
        self._user = _INSTEAD_OF_ROOT if os.geteuid() == 0 else None
        self._child: subprocess.Popen[bytes] | None = None
        self._names = count(1)

    @property
    def pid(self) -> int:
        """The id of the process that all others of the server come from."""
        assert self._child is not None
        return self._child.pid

    def make(self) -> None:
        """Make its data, once."""
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1" if self._port else "", **self._settings}
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", "data", "-k", str(self._folder), "-p", str(self._port or 5432)),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                cwd=self._folder,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, 30, "PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks off what is under way, SIGQUIT dies as if the power were cut."""
        if self._child is not None:
            self._child.send_signal(how)
            self._child.wait(120)
            self._child = None

    def url(self, name: str, *, user: str = "postgres") -> str:
        """Return where a database is reached."""
        if self._port:
            return f"postgresql://{user}@127.0.0.1:{self._port}/{name}"
        return f"postgresql://{user}@/{name}?host={self._folder}"

    def database(self, template: str = "template1") -> str:
        """Make a database, a copy of another, and return its URL."""
        name = f"made_{next(self._names)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def ask(self, statement: str, *, of: str | None = None) -> list[tuple[object, ...]]:
        """Run a statement by itself, in a database by its URL."""

        async def asked(connection: "asyncpg.Connection[Any]") -> list[tuple[object, ...]]:
            return [tuple(row) for row in await connection.fetch(statement)]

        return aside(lambda: connected(of or self.url("postgres"), asked))

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, (self._folder / "log").read_text()[-3000:]
        try:
            self.ask("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            user=self._user,
            check=True,
            capture_output=True,
        )


async def connected(url: str, work: "Callable[[asyncpg.Connection[Any]], Coroutine[object, object, T]]") -> T:
    """Do something on a connection of its own."""
    connection = await asyncpg.connect(url, timeout=60)
    try:
        return await work(connection)
    finally:
        await connection.close()


def aside(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run something asynchronous from where there may be a loop at rest already."""
    runner = asyncio.Runner()
    try:
        return runner.run(work())
    finally:
        runner.close()


@contextmanager
def serving(
    *, durable: bool = False, on_port: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server of its own; ``durable``: it syncs, as where that is what is tested."""
    # A socket's path has room for 107 bytes, so not in the folder of the test.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Server(folder, {**({} if durable else _FAST), **(settings or {})}, free_port() if on_port else 0)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
