"""A reference audio of the caller's own: what is taken, how it is named in a request, and how long it is given."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.domain.task import Status

# docs.aimlapi.com, "music-cover": duration 6 seconds to 6 minutes, at most 50 MB. MiniMax, whose model it is at both
# providers, says the same.
MOST_BYTES = 50 * 1024 * 1024
SHORTEST_SECONDS = 6.0
LONGEST_SECONDS = 360.0
#: A task that is this long past its deadline gives its input to nobody any more.
OFFERED_AFTER_DEADLINE = timedelta(hours=1)
#: Begins the ``reference_audio`` of a request that names one.
PREFIX = "input:"
#: From here on the provider has what it needed, or the task has ended.
_OFFERED = frozenset({Status.QUEUED, Status.SUBMITTED, Status.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Input:
    """An audio file that was uploaded to us: ``size`` in bytes, ``sha256`` in hex, ``extension`` without a dot."""

    id: UUID
    sha256: str
    size: int
    duration_seconds: float
    media_type: str
    extension: str

    @property
    def object_key(self) -> str:
        """Where its bytes lie in the artifact store."""
        return object_key(self.id)


@dataclass(frozen=True, slots=True)
class Offered:
    """The input of a task, and how the task stands."""

    input: Input
    status: Status
    deadline_at: datetime | None

    def to_be_given(self, now: datetime) -> bool:
        """Tell whether the task's provider may still need it."""
        if self.deadline_at is not None and now > self.deadline_at + OFFERED_AFTER_DEADLINE:
            return False
        return self.status in _OFFERED


def object_key(input_id: UUID) -> str:
    """Return where the bytes of an input lie in the artifact store."""
    return f"inputs/{input_id}"


def named(reference: object) -> UUID | None:
    """Return the input that a ``reference_audio`` names; None for a link, inline audio, or what is no id of ours."""
    if not isinstance(reference, str) or not reference.startswith(PREFIX):
        return None
    try:
        return UUID(reference.removeprefix(PREFIX))
    except ValueError:
        return None


def length_problem(seconds: float | None) -> str | None:
    """Return what is wrong with the length of an audio, None when nothing is."""
    if seconds is None:
        return "does not tell how long it plays"
    if SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return None
    return f"plays for {_spoken(seconds)}; 6 seconds to 6 minutes are taken"


def _spoken(seconds: float) -> str:
    """Return a length that is out of bounds, never rounded to what would be within them."""
    if seconds < SHORTEST_SECONDS:
        return f"{min(seconds, 5.99):.2f} seconds"
    minutes, rest = divmod(max(int(seconds), 361), 60)
    return f"{minutes} min {rest} s"
