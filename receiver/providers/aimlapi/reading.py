"""What a generation object or an error envelope of AIMLAPI's says."""

from collections.abc import Mapping

from receiver.domain.errors import ErrorCode, TaskError, UnreadableError
from receiver.domain.report import Failure, Output, Reading
from receiver.providers.wire import links
from receiver.providers.wire.failures import judge, rule
from receiver.providers.wire.strict_json import integer, mapping, parse, sequence, text
from receiver.providers.wire.values import code_of, first_text, money, sentence, word

# docs.aimlapi.com, "music-cover": queued, generating, completed, error. The pages of the other music models poll on
# waiting, samples of the video pages on active; AIMLAPI's own SDK adds processing.
PENDING = frozenset({"queued", "generating", "waiting", "active", "processing", "pending"})
# "music-cover" says complete in its prose and completed in its schema; video samples and GET /v2/logs say succeeded.
DONE = frozenset({"completed", "complete", "succeeded"})
# "music-cover": error; GET /v2/logs: failed; the others from clients of the same API.
FAILED = frozenset({"error", "failed", "cancelled", "canceled", "expired"})

#: AIMLAPI makes one result for a generation, so every report of it speaks of the same one.
IDENTITY = "audio"
#: A body that says nothing: what ``read`` makes of the envelope of "not found".
NOTHING = b'{"statusCode":"404"}'
_NOT_FOUND = 404
_FAULTS = range(400, 600)
_LONGEST_ID = 256
_MOST_DETAILS = 8
_DEEPEST_PLACE = 16

# docs.aimlapi.com, "Errors": the HTTP code tells the class, 403 being out of credits. The names inside a generation's
# error are not listed anywhere; these are the words of the exceptions and upstream errors seen.
RULES = (
    rule(r"\b(policy|moderation|moderated|nsfw|unsafe|sensitive|blocked|safety)\b", ErrorCode.MODERATION),
    rule(r"\brate limit|\btoo many\b|\bthrottl|\bconcurren", ErrorCode.RATE, retryable=True),
    rule(r"\b(credits?|quota|payment|balance|billing|funds)\b", ErrorCode.BALANCE),
    rule(r"\b(unauthori[sz]ed|api key|credentials|authentication)\b", ErrorCode.AUTH),
    rule(r"\b(validation|invalid|bad request|unprocessable|unsupported|missing)\b", ErrorCode.VALIDATION),
    rule(r"\btime ?out\b|\btimed out\b", ErrorCode.TIMEOUT, retryable=True),
    rule(r"\bnot found\b", ErrorCode.NOT_FOUND),
    rule(r"\b(internal|server|unavailable|bad gateway|upstream|provider)\b", ErrorCode.PROVIDER, retryable=True),
)


def parse_body(body: bytes) -> Mapping[str, object]:
    """Return the object a body of AIMLAPI's is; raises UnreadableError for anything else."""
    value = parse(body)
    if not isinstance(value, dict):
        raise UnreadableError(f"{word(value)} instead of an object")
    return mapping(value)


def envelope_code(value: Mapping[str, object]) -> int | None:
    """Return the HTTP code inside an error envelope, None for a generation.

    Two envelopes: ``application/problem+json`` as seen live, where ``status`` is a number, and the "general" one of
    docs.aimlapi.com, "Errors", whose ``statusCode`` is a string. A generation's ``status`` is a word.
    """
    if isinstance(value.get("status"), str):
        return None
    code = value.get("statusCode")
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code[:4])
    inner = integer(value.get("status")) or integer(code)
    return inner if inner is not None and inner in _FAULTS else None


def generation_id(value: Mapping[str, object]) -> str | None:
    """Return a generation's id: 21 URL-safe characters today, ``uuid:vendor/model`` in older samples."""
    found = text(value.get("id"))
    usable = found is not None and len(found) <= _LONGEST_ID and found.isprintable() and " " not in found
    return found if usable else None


def read_generation(value: Mapping[str, object]) -> Reading:
    """Read a generation object: docs.aimlapi.com, "music-cover", GET /v2/generate/audio.

    Raises UnreadableError for an error envelope: it answers a request of ours, it reports on no generation. The one
    that says "not found" reads as nothing said.
    """
    code = envelope_code(value)
    if code == _NOT_FOUND:
        return Reading()
    name = generation_id(value)
    if code is not None or not (name or {"status", "audio_file"} & value.keys()):
        raise UnreadableError("an object that is no generation of AIMLAPI's")
    named = frozenset() if name is None else frozenset({name})
    status = value.get("status")
    said = status.strip().lower() if isinstance(status, str) else None
    oddities: list[str] = []
    # "music-cover": usage belongs to the generation as a whole; usd_spent is missing in the GET's schema.
    cost = money(mapping(mapping(value.get("meta")).get("usage")).get("usd_spent"))
    output = _output(value, name, cost, oddities) if said in DONE | FAILED else None
    failures: tuple[Failure, ...] = ()
    if said in FAILED:
        failures = (Failure(generation_error(value, said or ""), name),)
    elif said in DONE and output is None:
        # Seen complete before its file is there: not an outcome yet.
        oddities.append(f"{word(said)} without audio_file")
    elif said not in DONE | PENDING:
        oddities.append("no status" if status is None else f"status {word(status)}")
    return Reading(
        outputs=() if output is None else (output,),
        failures=failures,
        pending=said in PENDING,
        oddities=tuple(oddities),
        named=named,
        cost_micros=cost,
    )


def generation_error(value: Mapping[str, object], status: str) -> TaskError:
    """Return why a generation failed.

    By schema ``error`` is ``{"name","message"}``, nullable; a sample of the kling effects page passes on what the
    upstream said: ``{"detail":[{"loc","msg","type"}]}``.
    """
    error = mapping(value.get("error"))
    details = [mapping(detail) for detail in sequence(error.get("detail"))[:_MOST_DETAILS]]
    name = code_of(error.get("name"), error.get("code"), *(detail.get("type") for detail in details))
    messages = [said for detail in details if (said := _detail(detail)) is not None]
    message = first_text(error.get("message"), "; ".join(messages), error.get("detail"), value.get("error"), name)
    code, retryable = judge(name, RULES)
    if code is ErrorCode.UNKNOWN and any("loc" in detail for detail in details):
        # It points at a place in the input.
        code = ErrorCode.VALIDATION
    if code is ErrorCode.UNKNOWN and status == "expired":
        code, retryable = ErrorCode.TIMEOUT, True
    said = sentence(message or f"AIMLAPI ended the generation as {status} without a reason")
    return TaskError(code, said, retryable, None if name is None else word(name))


def _detail(detail: Mapping[str, object]) -> str | None:
    message = first_text(detail.get("msg"), detail.get("message"))
    place = ".".join(
        str(step) for step in sequence(detail.get("loc"))[:_DEEPEST_PLACE] if isinstance(step, str | int)
    )
    return f"{place}: {message}" if message and place else message


def _output(value: Mapping[str, object], name: str | None, cost: int | None, oddities: list[str]) -> Output | None:
    address = mapping(value.get("audio_file")).get("url")
    found = links.link(address)
    if found is None:
        if address:
            oddities.append("audio_file.url is no link")
        return None
    return Output(
        identity=IDENTITY,
        provider_task_id=name,
        link=found,
        link_expires_at=links.expiry(found),
        cost_micros=cost,
    )
