"""How a command fails: in words for the person who typed it, never with a traceback.

With --json, programs get the same on standard output, unless a document of the command itself is there already.

CommandError          it could not be done, and why; exit 1
└── UsageError        it could not even be understood; exit 2
"""

from collections.abc import Mapping


class CommandError(Exception):
    """The command failed. ``advice`` says what to do, one line each. All of it may hold foreign text."""

    exit_code = 1

    def __init__(self, message: str, *advice: str, problem: Mapping[str, object] | None = None) -> None:
        """Keep what is to be said; ``problem`` is the service's own answer (RFC 9457), for programs."""
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.problem = problem


class UsageError(CommandError):
    """What was typed does not make sense, whatever the service would say."""

    exit_code = 2


class InterruptedByPersonError(Exception):
    """Ctrl-C or SIGTERM ended the work before it was done."""
