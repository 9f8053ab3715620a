"""The typed client for your own Python program: ask for a generation, look at it, take its audio.

    async with Client("http://127.0.0.1:8080", api_key=key) as client:
        task = await client.submit({"provider": "runware", "prompt": "…", "reference_audio": "https://…"})
        task = await client.wait(task.id)
        for result in task.results:
            await client.save(task, result, Path("covers"))

Imports httpx and nothing of the receiver. `client` is all the calls together: `tasks`, `timelines`, `audio`,
`endpoints` and `care`, each over a `connection`. `values`, `upkeep` and `outbox` are what the service says,
`watching` is how a stream of events is read, `notifications` tells whether what arrives at your application is
genuine, `errors` is what can go wrong.
"""

from receiver.sdk.audio import file_name
from receiver.sdk.client import Client
from receiver.sdk.connection import DEFAULT_URL, PASSING, checked_address
from receiver.sdk.errors import (
    AnswerLostError,
    ClientError,
    ConflictError,
    DownloadError,
    InvalidRequestError,
    NotEndedError,
    NotFoundError,
    ProblemError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
    UnsafeAddressError,
)
from receiver.sdk.notifications import (
    ForgedNotificationError,
    Notification,
    NotificationError,
    StaleNotificationError,
    UnreadableNotificationError,
    UnusableSecretError,
    verify_notification,
)
from receiver.sdk.outbox import Deliveries, Delivery, Endpoint, Redriven, Secret, Trial
from receiver.sdk.upkeep import Outcome, Replay, Replayed, Report, Statistics
from receiver.sdk.values import ENDED, Artifact, Event, Input, Page, Remark, Result, Task, TaskError, Waiting

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "PASSING",
    "AnswerLostError",
    "Artifact",
    "Client",
    "ClientError",
    "ConflictError",
    "Deliveries",
    "Delivery",
    "DownloadError",
    "Endpoint",
    "Event",
    "ForgedNotificationError",
    "Input",
    "InvalidRequestError",
    "NotEndedError",
    "NotFoundError",
    "Notification",
    "NotificationError",
    "Outcome",
    "Page",
    "ProblemError",
    "Redriven",
    "Remark",
    "Replay",
    "Replayed",
    "Report",
    "Result",
    "Secret",
    "StaleNotificationError",
    "Statistics",
    "Task",
    "TaskError",
    "TooManyRequestsError",
    "Trial",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "UnreadableNotificationError",
    "UnsafeAddressError",
    "UnusableSecretError",
    "Waiting",
    "checked_address",
    "file_name",
    "verify_notification",
]
