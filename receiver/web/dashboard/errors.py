"""Every error as a page: what happened in words, and what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from receiver.web import problems
from receiver.web.problems import refusal


class PageError(Exception):
    """Something a person asked for that cannot be done; told as it is."""

    def __init__(self, status: int, title: str, advice: str = "") -> None:
        """Keep the words."""
        super().__init__(title)
        self.status = status
        self.title = title
        self.advice = advice


STALE_FORM = PageError(
    403,
    "Your session has ended",
    "Nothing was changed. Sign in again, go back, and do it once more.",
)
STRANGE_FORM = PageError(
    403,
    "That form did not come from a page of ours",
    "Nothing was changed. Open the page again and use the button there.",
)


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of an error. ``fault`` says that it is ours and belongs into the log."""

    status: int
    title: str
    advice: str = ""
    fault: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


#: The words for people where those for programs would not help them.
_FOR_PEOPLE = {
    problems.NOT_FOUND: (
        "There is nothing here",
        "It may have been erased, or the address is not complete. Search for an id, or look through the tasks.",
    ),
    problems.METHOD_NOT_ALLOWED: ("This address takes no such request", "Go back and use the button there."),
    problems.ALREADY_TERMINAL: (
        "The task has already ended",
        "There is nothing left to wait for, so nothing was changed.",
    ),
    problems.UNAVAILABLE: (
        "The service cannot reach its database now",
        "Nothing is lost: what providers send is answered with 503 and sent again. `receiver doctor` says why.",
    ),
    problems.INTERNAL: (
        "Something went wrong here",
        "It is in the log of the service, with its place in the code. Nothing was changed.",
    ),
    problems.TOO_MANY_ATTEMPTS: ("Too many wrong keys came from your address", "Wait a minute, then try again."),
}


def told(error: Exception) -> Words:
    """Return the words for an error; whatever is not known here is a fault of ours, told without details."""
    if isinstance(error, PageError):
        return Words(error.status, error.title, error.advice)
    refused = refusal(error)
    title, advice = _FOR_PEOPLE.get(refused.kind, (refused.kind.title, refused.detail or ""))
    if refused.kind is problems.UNAVAILABLE and refused.detail:
        advice = f"{refused.detail} {advice}"
    return Words(refused.kind.status, title, advice, refused.fault, refused.headers)
