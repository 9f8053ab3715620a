"""A worker's time-limited claim on due work, as the store makes it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims how much, and until when."""

    now: datetime
    until: datetime
    owner: UUID
    limit: int
