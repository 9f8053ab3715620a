"""What can go wrong, as values a task keeps and as exceptions that say whether to give up or to try again.

The exceptions:

    ReceiverError
    ├── InvalidRequestError       the caller's request cannot be accepted; names each field
    ├── NotFoundError             nothing by that name
    ├── AlreadyTerminalError      the task has ended, the action no longer applies
    ├── ReusedKeyError            an idempotency key that stands for another request
    ├── TooManyBodiesError        one task received more different callbacks than we keep
    ├── UnavailableError          a fault of ours: try again later, nothing was recorded
    │   ├── StorageFullError      our disk has no room left
    │   └── StorageReadOnlyError  our disk or database takes no writes
    ├── UnreadableError           bytes from a provider that its adapter cannot read: kept raw, quarantined
    ├── NotSentError              a request that never left this machine: safe to send again
    ├── AnswerLostError           a request that may have arrived: its effect is unknown
    └── MediaError                audio could not be taken in
        ├── MediaRefusedError     a definite no (4xx, not audio, forbidden address, truncated)
        └── MediaInterruptedError the network or the source faltered: try again
"""

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Our vocabulary for why a task failed; providers' own words are mapped to it."""

    AUTH = "auth"
    BALANCE = "balance"
    RATE = "rate"
    MODERATION = "moderation"
    VALIDATION = "validation"
    PROVIDER = "provider"
    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"
    ARTIFACT_UNAVAILABLE = "artifact_unavailable"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TaskError:
    """One reason a task or a result failed.

    ``retryable`` tells the user whether submitting the same request again may succeed; we never resubmit a
    failed task by ourselves. ``provider_code`` is the provider's own word, verbatim.
    """

    code: ErrorCode
    message: str
    retryable: bool = False
    provider_code: str | None = None


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field of a request and what is wrong with it, in words a person can act on."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class FieldWarning:
    """A field that is accepted but may not do what the caller expects."""

    field: str
    message: str


class ReceiverError(Exception):
    """The root of every error this package raises on purpose."""


class InvalidRequestError(ReceiverError):
    """The request cannot be accepted; ``problems`` names every field at fault."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        """Keep the problems, at least one."""
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


class NotFoundError(ReceiverError):
    """There is nothing by that name."""


class AlreadyTerminalError(ReceiverError):
    """The task has already ended."""


class ReusedKeyError(ReceiverError):
    """This idempotency key was used for another request within the last day."""


class TooManyBodiesError(ReceiverError):
    """This task has received more different callbacks than are kept."""


class UnavailableError(ReceiverError):
    """We cannot do this now through a fault of ours; nothing was recorded, trying again is right."""


class StorageFullError(UnavailableError):
    """Our storage is full: nothing is taken until there is room again."""


class StorageReadOnlyError(UnavailableError):
    """Our storage is read-only: nothing is taken until it can be written to again."""


class UnreadableError(ReceiverError):
    """A body from a provider that does not have any form we know."""


class NotSentError(ReceiverError):
    """Nothing left this machine: name resolution, connection, TLS or pool failed."""


class AnswerLostError(ReceiverError):
    """The request was sent, at least in part, and no complete answer came back."""


class MediaError(ReceiverError):
    """Audio could not be taken into our storage."""


class MediaRefusedError(MediaError):
    """A definite refusal: asking the same link again will not help."""


class MediaInterruptedError(MediaError):
    """A passing fault of the network, the source or our store: asking again may help."""
