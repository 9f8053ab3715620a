"""A worker's time-limited claim on due work, as the store makes it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims how much, and until when."""

    now: datetime
    until: datetime
    owner: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Who claims what it stores by the very statement that stores it: for how long by the database's own clock.

    ``until`` is the moment where that is not to be told by the clock.
    """

    owner: UUID
    lease: timedelta
    until: datetime | None
