"""The typed client for your own Python program: ask for a generation, look at it, take its audio.

    async with Client("http://127.0.0.1:8080", api_key=key) as client:
        task = await client.submit({"provider": "runware", "prompt": "…", "reference_audio": "https://…"})
        task = await client.task(task.id, wait_seconds=30)
        async for event in client.watch(task.id):
            print(event.at, event.type, event.data)

Imports httpx and nothing of the receiver. `values` and `upkeep` are what the service says, `watching` is how a stream
of events is read, `errors` what can go wrong, `client` the calls.
"""

from receiver.sdk.client import DEFAULT_URL, Client, checked_address
from receiver.sdk.errors import (
    AnswerLostError,
    ClientError,
    ConflictError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
    UnsafeAddressError,
)
from receiver.sdk.upkeep import Outcome, Replay, Replayed, Statistics
from receiver.sdk.values import ENDED, Artifact, Event, Page, Remark, Result, Task, TaskError, Waiting

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "AnswerLostError",
    "Artifact",
    "Client",
    "ClientError",
    "ConflictError",
    "DownloadError",
    "Event",
    "InvalidRequestError",
    "NotFoundError",
    "Outcome",
    "Page",
    "ProblemError",
    "Remark",
    "Replay",
    "Replayed",
    "Result",
    "Statistics",
    "Task",
    "TaskError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "UnsafeAddressError",
    "Waiting",
    "checked_address",
]
