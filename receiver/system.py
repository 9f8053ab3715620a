"""Time, chance and identity: the only file that reads a clock, draws a random number or makes an id."""

import asyncio
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from receiver.domain.identity import uuid_of

#: The system's generator is asked for so many ids together: each call lets another thread go first.
_DRAWN_AT_ONCE = 64


class RealSystem:
    """The machine's own clock and entropy. ``on_checkpoint`` is for the fault harness; production has none."""

    def __init__(self, on_checkpoint: Callable[[str], None] | None = None) -> None:
        self._on_checkpoint = on_checkpoint
        self._drawn: list[int] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new_id(self) -> UUID:
        """Return a UUID v4 (RFC 9562): 122 random bits."""
        value = self._random()
        return uuid_of(value & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62)

    def _random(self) -> int:
        """Return 128 random bits. Several threads call this: each of the two methods of a list is atomic."""
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                drawn = secrets.token_bytes(16 * _DRAWN_AT_ONCE)
                self._drawn.extend(int.from_bytes(drawn[at : at + 16]) for at in range(0, len(drawn), 16))

    def new_key(self) -> UUID:
        """Return a UUID v7 (RFC 9562): 48 bits of milliseconds, then 74 random bits."""
        milliseconds = time.time_ns() // 1_000_000
        # No secret: the system's generator lets another thread go first, for every callback.
        value = (milliseconds & (2**48 - 1)) << 80 | random.getrandbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return uuid_of(value)

    def jitter(self) -> float:
        return random.random()

    def checkpoint(self, name: str) -> None:
        if self._on_checkpoint is not None:
            self._on_checkpoint(name)


@dataclass(slots=True)
class KillAt:
    """Kills this process, as kill -9 does, when a checkpoint is reached for the n-th time (tests only).

    ``where`` is ``name`` or ``name:n``; every name reached is also written to standard error, so that a test can
    tell a checkpoint that no longer exists from one that was not reached.
    """

    where: str
    seen: int = 0

    def __call__(self, name: str) -> None:
        wanted, _, nth = self.where.partition(":")
        if name != wanted:
            return
        self.seen += 1
        if self.seen == int(nth or 1):
            sys.stderr.write(f"checkpoint {name} reached: killing this process\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def new_secret(size: int = 32) -> bytes:
    """Return ``size`` random bytes fit for a key."""
    return secrets.token_bytes(size)
