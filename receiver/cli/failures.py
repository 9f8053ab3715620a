"""How a command fails: in words for the person who typed it, never with a traceback.

CommandError          it could not be done, and why; exit 1
└── UsageError        it could not even be understood; exit 2
"""


class CommandError(Exception):
    """The command failed. ``advice`` says what to do, one line each. All of it may hold foreign text."""

    exit_code = 1

    def __init__(self, message: str, *advice: str) -> None:
        """Keep what is to be said."""
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(CommandError):
    """What was typed does not make sense, whatever the service would say."""

    exit_code = 2


class InterruptedByPersonError(Exception):
    """Ctrl-C or SIGTERM ended the work before it was done."""
