"""The processes of a drill: children of ours that end with us, started, killed and ended by their ids."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

import receiver

HOST = "127.0.0.1"
#: A machine that is busy with others may need as long.
_START_SECONDS = 600.0
_LAST_CHARACTERS = 3000
#: Where Python finds this package, wherever a child is started.
_HOUSE = Path(next(iter(receiver.__path__))).parent


#: This package, nothing from the folder it runs in.
PROGRAM = ("-P", "-m", "receiver")


class DrillError(Exception):
    """The drill could not be held; the message says why, in lines for a person."""


class NotInTimeError(DrillError):
    """What was waited for did not come."""


def free_port() -> int:
    """Return a port of this machine that is free at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return so many ports of this machine, each another, that are free at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until(is_so: Callable[[], bool], seconds: float, what: str, *, every_seconds: float = 0.05) -> None:
    """Wait for a condition. Raises NotInTimeError, which names what was waited for."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= end:
            raise NotInTimeError(f"not within {seconds:g} s: {what}")
        time.sleep(every_seconds)


def finished(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
    """Run `receiver` to its end. Raises DrillError when that is no success."""
    with log.open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, *PROGRAM, *arguments],
            env={**surroundings(), **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if ended.returncode:
        raise DrillError(f"`receiver {arguments[0]}` failed: {log.read_text('utf-8', 'replace')[-_LAST_CHARACTERS:]}")


def surroundings() -> dict[str, str]:
    """Return our environment without anything that sets up a receiver: a child takes what it is told."""
    kept = {name: value for name, value in os.environ.items() if not _sets_up_a_receiver(name)}
    return kept | {"PYTHONPATH": os.pathsep.join([str(_HOUSE), *filter(None, [os.environ.get("PYTHONPATH")])])}


def _sets_up_a_receiver(name: str) -> bool:
    return name.upper().startswith("RECEIVER_") or name.upper().endswith("_API_KEY")


@dataclass
class Process:
    """A child of ours: its words go to a file, it is ended by its id, and it ends when we do.

    ``program`` is what the interpreter runs; a test may have an entry of its own.
    """

    arguments: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    url: str
    program: Sequence[str] = PROGRAM
    child: subprocess.Popen[bytes] | None = None

    def start(self, *, expect_death: bool = False) -> None:
        """Start it and wait until it answers (or has died, where that is expected). Raises DrillError."""
        self._close_input()
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *self.program, *self.arguments, "--until-input-ends"],
                env={**surroundings(), **self.environment},
                cwd=self.folder,
                # Its other end is ours alone: it ends with us, whatever ends us.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us; they are told by us.
                start_new_session=True,
            )
        wait_until(lambda: self._answers() or (expect_death and self.dead), _START_SECONDS, f"{self.url} answers")

    def stop(self, *, seconds: float = 10.0) -> float:
        """End it as an operator would, and return how long that took. Raises NotInTimeError once it is killed."""
        begun = time.monotonic()
        if self.child is not None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise NotInTimeError(f"did not stop within {seconds:g} s; its words:\n{self._last_words()}") from None
            finally:
                self._close_input()
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self._close_input()

    @property
    def dead(self) -> bool:
        """True once it has ended."""
        return self.child is not None and self.child.poll() is not None

    def dies_within(self, seconds: float) -> bool:
        """Wait until it has ended by itself, or the time is over."""
        if self.child is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)
        return self.dead

    def words(self) -> str:
        """Return all that it has said."""
        return self.log.read_text("utf-8", errors="replace")

    def _last_words(self) -> str:
        return self.words()[-_LAST_CHARACTERS:]

    def _close_input(self) -> None:
        if self.child is not None and self.child.stdin is not None:
            with suppress(OSError):
                self.child.stdin.close()

    def _answers(self) -> bool:
        if self.dead and self.child is not None and self.child.returncode != -signal.SIGKILL:
            raise DrillError(f"ended with {self.child.returncode}; its words:\n{self._last_words()}")
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2, trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
