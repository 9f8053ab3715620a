"""Sessions of people that were ended before their time was up."""

from datetime import datetime
from typing import Protocol


class EndedSessions(Protocol):
    """Which sessions no longer open anything, each by the sha256 of what stands for it. Raise UnavailableError."""

    async def end(self, digest: bytes, *, until: datetime, now: datetime) -> None:
        """Let a session be over for good; it is remembered ``until`` it would have ended by itself."""

    async def ended(self, digest: bytes) -> bool:
        """Tell whether a session was ended."""
