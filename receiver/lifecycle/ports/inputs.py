"""What we keep of the reference audio that callers upload."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from receiver.domain.errors import ReceiverError
from receiver.domain.input import Input, Offered


class TooManyInputsError(ReceiverError):
    """More uploaded files wait for a task than are kept; use them, or wait until the oldest are erased."""


class Inputs(Protocol):
    """The rows of uploaded files; their bytes lie in the artifact store. Every write raises UnavailableError."""

    async def unused(self) -> tuple[int, int]:
        """Return how many inputs no task uses, and their bytes."""

    async def renew(self, sha256: str, unused_until: datetime) -> Input | None:
        """Return the input that has these bytes, kept until that moment at least; None when there is none."""

    async def promise(self, object_key: str, until: datetime) -> None:
        """Remember an object that is about to be made, to be removed after that moment unless ``keep`` takes it."""

    async def keep(self, new: Input, *, now: datetime, unused_until: datetime) -> Input:
        """Keep an input whose object was promised; or, when one with these bytes came first, renew and return that.

        Then the object stays promised, and is removed in time. Raises UnavailableError when it was, too.
        """

    async def find(self, input_id: UUID) -> Input | None:
        """Return an input."""

    async def of_task(self, task_key: UUID) -> Offered | None:
        """Return the input that a task names, None when it names none or is erased."""

    async def erase_unused(self, now: datetime, limit: int) -> int:
        """Erase inputs that no task has used by the moment until which they were kept; return how many it looked at.

        The names of their objects are kept with those of erased tasks.
        """
