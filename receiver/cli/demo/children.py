"""The two processes of the demo. They end with us, whatever ends us: each watches a pipe whose other end we hold."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from receiver.cli.demo.scene import python
from receiver.cli.failures import CommandError

_START_SECONDS = 30.0
_STOP_SECONDS = 8.0
_LAST_LINES = 5


class ChildError(CommandError):
    """A process of the demo did not start."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that is ready, and what it said of itself: its URL and more."""

    process: subprocess.Popen[bytes]
    said: Mapping[str, str]

    async def ended(self) -> None:
        """Wait until the process ends by itself."""
        await asyncio.to_thread(self.process.wait)


@contextlib.asynccontextmanager
async def child(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
) -> AsyncIterator[Child]:
    """Start ``receiver`` with these arguments, give it once it is ready, end it in any case. Raises ChildError."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; forking takes a moment only
            [*python(), *arguments, "--json", "--until-input-ends"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=folder,
            env=dict(environment),
            # A Ctrl-C is for us; they are told by us.
            start_new_session=True,
        )
    try:
        yield Child(process, await _ready(process, arguments[0], log))
    finally:
        await _end(process)


async def _ready(process: subprocess.Popen[bytes], name: str, log: Path) -> Mapping[str, str]:
    """Wait for the one line that a process prints when it is ready."""
    line = b""
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), _START_SECONDS)
    try:
        said: object = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "error" in said:
        # Nothing, or that it could not: its log has the words for a person.
        raise ChildError(f"`receiver {name}` did not start", *_last_lines(log))
    return MappingProxyType({str(key): str(value) for key, value in said.items()})


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process by its own id: first in order, then at once, and at once too when we are told to hurry."""
    process.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, _STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _last_lines(log: Path) -> list[str]:
    try:
        return log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
    except OSError:
        return []
