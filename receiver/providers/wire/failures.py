"""Providers' words for what went wrong, matched by pattern: their lists are open and being changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from receiver.domain.errors import ErrorCode
from receiver.providers.wire.values import spaced


@dataclass(frozen=True, slots=True)
class Rule:
    """Codes whose spaced words match ``pattern`` mean ``code``; ``retryable``: asking again may succeed."""

    pattern: re.Pattern[str]
    code: ErrorCode
    retryable: bool = False


def rule(pattern: str, code: ErrorCode, *, retryable: bool = False) -> Rule:
    """Make a rule out of a regular expression over lower-case words."""
    return Rule(re.compile(pattern), code, retryable)


def judge(foreign_code: str | None, rules: Sequence[Rule]) -> tuple[ErrorCode, bool]:
    """Return our code and whether asking again may help: the first rule wins; unknown is not retryable."""
    words = spaced(foreign_code or "")
    for candidate in rules:
        if words and candidate.pattern.search(words):
            return candidate.code, candidate.retryable
    return ErrorCode.UNKNOWN, False
