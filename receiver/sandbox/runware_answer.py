"""One answer of Runware's endpoint as it grows task by task, and the HTTP status it ends with."""

from dataclasses import dataclass, field

from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import Generation
from receiver.sandbox.runware_words import Words

_OK = 200
_SERVER_ERROR = 500


@dataclass(slots=True)
class Answer:
    """What one POST is answered.

    `refusals` are the statuses of refused tasks in order; `accepted` are the generations it began; `failed` counts
    synchronous tasks none of whose results succeeded.
    """

    data: list[Words] = field(default_factory=list)
    errors: list[Words] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    accepted: list[Generation] = field(default_factory=list)
    failed: int = 0

    def refuse(self, status: int, *errors: Words) -> None:
        """Add the errors of a refused task."""
        self.errors += errors
        self.refusals.append(status)

    def document(self) -> Words:
        """Return the envelope: a refusal carries an empty `data` too, a poll of failures has `errors` alone."""
        document: Words = {}
        if self.data or self.refusals or not self.errors:
            document["data"] = self.data
        if self.errors:
            document["errors"] = self.errors
        return document

    def status(self, faults: Faults) -> int:
        """Return the HTTP status; that of a mixture is not documented, so a switch decides."""
        if self.refusals and (self.data or self.accepted):
            return faults.mixed_status
        if self.refusals:
            is_conflict = self.errors[0]["code"] == "conflictTaskUUID"
            return self.refusals[0] if is_conflict else faults.refusal_status or self.refusals[0]
        if self.failed and not self.data:
            return faults.refusal_status or _SERVER_ERROR
        return _OK
