"""What was found of one thing, and what mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it stands: ``warning`` works, but not as well as it could; ``skipped`` could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. Both texts may hold foreign words; ``mend`` is None where nothing is to be done."""

    name: str
    level: Level
    message: str
    mend: str | None = None


def ok(name: str, message: str) -> Finding:
    """Return that it is well."""
    return Finding(name, Level.OK, message)


def warning(name: str, message: str, mend: str | None = None) -> Finding:
    """Return that it works, but not as well as it could."""
    return Finding(name, Level.WARNING, message, mend)


def failed(name: str, message: str, mend: str | None = None) -> Finding:
    """Return that it does not work."""
    return Finding(name, Level.FAILED, message, mend)


def skipped(name: str, message: str, mend: str | None = None) -> Finding:
    """Return why it could not be looked at."""
    return Finding(name, Level.SKIPPED, message, mend)
