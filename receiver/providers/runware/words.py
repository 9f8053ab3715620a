"""Runware's words for how a generation stands and for what went wrong, and ours for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from receiver.domain.errors import ErrorCode, TaskError
from receiver.providers.wire.failures import judge, rule
from receiver.providers.wire.strict_json import integer, mapping
from receiver.providers.wire.values import code_of, first_text, sentence, spaced, word

# runware.ai/docs, "Task polling": processing and success (a stored copy of the page: pending). Runware's Python SDK
# also polls on queued, scheduled and waiting, and takes completed for success.
PENDING = frozenset({"processing", "pending", "queued", "scheduled", "waiting"})
DONE = frozenset({"success", "completed"})
FAILED = "error"

# runware.ai/docs, "Errors", and the code tables of Runware's SDKs. The page says that codes are being standardised
# and may vary, so these are patterns over a code's words, and the order decides: who moderates, pays or throttles
# comes before what is invalid, and that before whose machine failed.
RULES = (
    rule(r"\b(policy|moderation|moderated|nsfw|unsafe|sensitive|blocked|safety)\b", ErrorCode.MODERATION),
    # The upstream provider does not take Runware's key or money: nothing of ours to mend.
    rule(r"^(provider|third party)\b.*\b(auth\w*|credits?|quota|payment)\b", ErrorCode.PROVIDER, retryable=True),
    rule(r"\btoo (large|long|big)\b", ErrorCode.VALIDATION),
    rule(r"\brate limit|\btoo many\b|\bthrottl|\bconcurren", ErrorCode.RATE, retryable=True),
    rule(r"\b(credits?|quota|payment|balance|billing|funds)\b", ErrorCode.BALANCE),
    rule(r"\b(api key|unauthori[sz]ed|forbidden|permissions?|auth\w*|credentials)\b", ErrorCode.AUTH),
    rule(
        r"^token (expired|invalid|missing|revoked)\b|^(account|organi[sz]ation|workspace) (suspended|disabled)\b",
        ErrorCode.AUTH,
    ),
    rule(
        r"^(invalid|missing|unsupported|incompatible|validation|value|array|max|min|duplicate|conflict)\b",
        ErrorCode.VALIDATION,
    ),
    rule(r"^unknown parameter\b", ErrorCode.VALIDATION),
    rule(r"\btime ?out\b|\btimed out\b", ErrorCode.TIMEOUT, retryable=True),
    rule(r"\bnot found\b|\bexpired\b", ErrorCode.NOT_FOUND),
    rule(r"\bdisabled\b", ErrorCode.PROVIDER),
    rule(
        r"\b(provider|inference|server|unavailable|bad gateway|not ready|cancell?ed|media storage)\b|\bfailed$",
        ErrorCode.PROVIDER,
        retryable=True,
    ),
)

# What blames the machinery behind Runware, or the content, speaks of the generation whatever was asked.
_OF_THE_GENERATION = re.compile(r"\b(provider|third party|inference)\b|^(task|processing) (failed|cancell?ed)$")
# From the SDKs' tables. None of them says that the generation failed: an unknown task may not be visible yet, a
# finished one may only have become unpollable, and a webhook that timed out leaves the result where it is.
_UNKNOWN_HERE = re.compile(r"^task (not found|failed or not found)$")
_GONE_OR_UNTOLD = re.compile(r"^(task expired|webhook timeout)$")
# "conflictTaskUUID" is documented by its use in Runware's Python SDK: an earlier send with this UUID arrived.
# Two patterns, for one that takes them in either order takes quadratic time.
_TAKEN = re.compile(r"conflict|duplicate|already")
_TASK_UUID = re.compile(r"\btask uuid\b")


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error object of Runware's, judged.

    ``upstream``: it blames what lies behind Runware. ``unknown_here``: the task is not known (yet).
    ``gone_or_untold``: its outcome can no longer be asked, or could not be told. ``taken``: its UUID is in use.
    ``of_the_question``: it calls itself an error of ``getResponse``.
    """

    error: TaskError
    upstream: bool
    unknown_here: bool
    gone_or_untold: bool
    taken: bool
    of_the_question: bool

    @property
    def of_the_generation(self) -> bool:
        """True when it can only be about the generation, not about the request that asked for it."""
        return self.upstream or self.error.code is ErrorCode.MODERATION

    @property
    def of_no_task(self) -> bool:
        """True when it may be about our question rather than about the generation asked for."""
        return self.of_the_question and not self.of_the_generation and not self.ambiguous

    @property
    def ambiguous(self) -> bool:
        """True when it does not say that the generation failed."""
        return self.unknown_here or self.gone_or_untold


def complains(value: Mapping[str, object]) -> bool:
    """Tell whether an object has what only an error has."""
    return bool(value.get("error")) or any(
        isinstance(value.get(name), str | int) for name in ("code", "errorId", "errorMessage")
    )


def complaint(value: Mapping[str, object]) -> Complaint:
    """Judge an error object in any of its forms.

    The forms: ``{"code","message",…}`` as in ``errors`` (runware.ai/docs, "Errors"); the same inside ``"error"``
    (Runware's new Python SDK, parse_api_error); ``{"error": true, "errorId", "errorMessage"}`` (older pages).
    """
    inner = mapping(value.get("error"))
    code = code_of(inner.get("code"), value.get("code"))
    number = integer(value.get("errorId"))
    if code is None and number is not None:
        code = f"errorId {number}"
    words = spaced(code or "")
    ours, retryable = judge(code, RULES)
    return Complaint(
        error=TaskError(ours, _message(value, inner, code), retryable, None if code is None else word(code)),
        upstream=bool(_OF_THE_GENERATION.search(words)),
        unknown_here=bool(_UNKNOWN_HERE.search(words)),
        gone_or_untold=bool(_GONE_OR_UNTOLD.search(words)),
        taken=bool(_TAKEN.search(words) and _TASK_UUID.search(words)),
        # A polled failure of a generation carries a status (runware.ai/docs, "Task polling"); what has none and names
        # our question as its task may be that question's own.
        of_the_question=value.get("taskType") == "getResponse" and value.get("status") is None,
    )


def _message(value: Mapping[str, object], inner: Mapping[str, object], code: str | None) -> str:
    said = first_text(inner.get("message"), value.get("message"), value.get("errorMessage"), value.get("error"), code)
    message = sentence(said or "Runware reported an error without words")
    parameter = first_text(inner.get("parameter"), value.get("parameter"))
    if parameter is not None:
        message += f" (parameter: {word(parameter)})"
    # The upstream's own words, seen beside provider errors.
    upstream = first_text(value.get("responseContent"))
    if upstream is not None and upstream != said:
        message += f" (upstream: {sentence(upstream)})"
    return message
