"""What can go wrong between a program and the receiver, told apart by what to do about it.

ClientError
├── UnsafeAddressError       not an address to send a key to; nothing was sent
├── UnreachableError         nobody answers there; nothing was sent
├── AnswerLostError          sent, but no answer came: it may have had its effect
├── UnexpectedAnswerError    an answer that no receiver gives: another program, a proxy, a redirect
├── DownloadError            the audio that came is not the audio that the task names
├── NotEndedError            the time to wait for a task is over, and the task goes on
└── ProblemError             the service said no, and why (RFC 9457)
    ├── InvalidRequestError  400, 413, 415, 422: the request itself, field by field
    ├── UnauthorizedError    401, 403
    ├── NotFoundError        404
    ├── ConflictError        409
    ├── TooManyRequestsError 429
    └── UnavailableError     5xx: nothing was recorded, try again later
"""

from collections.abc import Mapping
from types import MappingProxyType

from receiver.sdk.values import Remark, Task


class ClientError(Exception):
    """The root of every error of this client."""


class UnsafeAddressError(ClientError):
    """The address is not one to send a key to; nothing was sent."""


class UnreachableError(ClientError):
    """Nobody answers at the ``address`` of the service, and why; nothing was sent."""

    def __init__(self, address: str, reason: str) -> None:
        """Keep both; an address holds no user name and no password."""
        super().__init__(f"nobody answers at {address}: {reason}")
        self.address = address
        self.reason = reason


class AnswerLostError(ClientError):
    """The request was sent and no complete answer came back; it may have had its effect."""


class UnexpectedAnswerError(ClientError):
    """The answer is none that a receiver gives."""


class DownloadError(ClientError):
    """The audio that came is not the audio that the task names."""


class NotEndedError(ClientError):
    """The time to wait is over, and the ``task`` goes on."""

    def __init__(self, task: Task) -> None:
        """Keep the task as it was last seen."""
        super().__init__(f"task {task.id} has not ended in time; it is {task.status}")
        self.task = task


class ProblemError(ClientError):
    """The service said no: its problem document.

    ``remarks`` names the fields at fault, ``retry_after_seconds`` is set when the service said when to come back, and
    ``document`` is the whole answer.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        remarks: tuple[Remark, ...] = (),
        retry_after_seconds: int | None = None,
        document: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Keep what the service said."""
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.title = title
        self.detail = detail
        self.remarks = remarks
        self.retry_after_seconds = retry_after_seconds
        self.document = document


class InvalidRequestError(ProblemError):
    """The request itself cannot be accepted."""


class UnauthorizedError(ProblemError):
    """The key is missing, wrong, or may not do this."""


class NotFoundError(ProblemError):
    """There is nothing by that name."""


class ConflictError(ProblemError):
    """The task is in a state to which this no longer applies."""


class TooManyRequestsError(ProblemError):
    """Too much at once."""


class UnavailableError(ProblemError):
    """The service cannot do this now through a fault of its own; nothing was recorded."""
