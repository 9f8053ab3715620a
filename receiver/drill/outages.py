"""The artifact store gone for a while: its folder lies elsewhere, and a file has its name, which stops root too."""

import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Outages:
    """So many outages of a folder, each for some seconds; who asks in between says what time it is.

    The first begins after ``gap_seconds`` of the chance, as every other after the one before.
    """

    folder: Path
    count: int
    seconds: float
    gap_seconds: tuple[float, float]
    chance: random.Random
    had: int = 0
    under_way: bool = False
    _next: float | None = None

    @property
    def over(self) -> bool:
        """True once all have been and the folder is back."""
        return self.had >= self.count and not self.under_way

    def step(self, now: float) -> None:
        """Begin or end an outage where that is due."""
        if self.over:
            return
        if self._next is None:
            self._next = now + self.chance.uniform(*self.gap_seconds)
        if now < self._next:
            return
        if self.under_way:
            self.end()
            self._next = None
        elif self._begin():
            self._next = now + self.seconds

    def end(self) -> None:
        """Give the folder back if it is away."""
        if self.under_way:
            self.folder.unlink()
            self._elsewhere.rename(self.folder)
            self.under_way = False

    def _begin(self) -> bool:
        # Made by the service when it starts.
        with suppress(FileNotFoundError):
            self.folder.rename(self._elsewhere)
            self.folder.write_bytes(b"")
            self.under_way = True
            self.had += 1
        return self.under_way

    @property
    def _elsewhere(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-away")
