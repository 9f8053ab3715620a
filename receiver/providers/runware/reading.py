"""What a body of Runware's says: taken apart into items and errors, each read by its words."""

import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from receiver.domain.errors import UnreadableError
from receiver.domain.report import Failure, Output, Reading, Via
from receiver.domain.values import quick
from receiver.providers.runware.words import DONE, FAILED, PENDING, complains, complaint
from receiver.providers.wire import links
from receiver.providers.wire.strict_json import dump, integer, mapping, parse, text
from receiver.providers.wire.values import money, word

# runware.ai/docs, "Audio inference": one of the three by outputType.
_LINK = "audioURL"
_BASE64, _DATA_URI = "audioBase64Data", "audioDataURI"
INLINE = frozenset({_BASE64, _DATA_URI})
_KNOWN = frozenset(
    {"data", "errors", "error", "errorId", "errorMessage", "code", "message", "taskType", "taskUUID", "status"}
    | {"audioUUID", _LINK, _BASE64, _DATA_URI}
)
#: The form of a callback with one audio, by the model's page; without some of these it is read in the same way.
_DOCUMENTED = {"data"}
_DOCUMENTED_OF_AUDIO = {"taskType", "taskUUID", "status", "audioUUID", _LINK, "seed", "cost"}
_MADE = "success"
_ACKNOWLEDGEMENT = frozenset({"taskType", "taskUUID", "status"})
#: A task has four results at most; a body that speaks of more than this many is not about one task.
_MOST_PARTS = 64
#: A batch asks about 50 tasks; every part costs time, so their number is looked at before their words are.
_MOST_PARTS_OF_ALL = 1024
_MOST_ODDITIES = 16
_LONGEST_RESULT_ID = 128
_NESTING = (dict, list)
#: What an envelope has its parts in, and whether they are errors.
_MEMBERS = (("data", False), ("errors", True))
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@quick
@dataclass(frozen=True, slots=True)
class Part:
    """An item or an error of an answer, and the task it names, in lower case."""

    value: Mapping[str, object]
    is_error: bool
    task_id: str | None


@dataclass(slots=True)
class _Collected:
    """A reading being put together; exists only inside ``read_parts``."""

    via: Via
    outputs: list[Output] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    pending: bool = False


def parse_body(body: bytes) -> object:
    """Return the JSON of a body of Runware's; raises UnreadableError."""
    return parse(body, inline=INLINE)


def read_body(body: bytes, via: Via) -> Reading:
    """Read a report; raises UnreadableError."""
    value = parse_body(body)
    return read_documented(value) or read_any(body, value, via)


def read_any(body: bytes, value: object, via: Via) -> Reading:
    """Read a report of any form that was ever seen, given what ``parse_body`` made of it; raises UnreadableError."""
    parts = parts_of(value)
    return read_parts(parts, _only_name(body, parts) or named_in(value), via)


def read_documented(value: object) -> Reading | None:
    """Read the callback that is documented: one audio, made, with a link; None for whatever is more or less than it.

    Nearly every report is one. To take it apart as if it could be any other was half the time of reading it, and
    comes to the same; a test holds the two against each other.
    """
    item = _only_item(value)
    if item is None or not item.keys() <= _DOCUMENTED_OF_AUDIO or item.get("status") != _MADE:
        return None
    kind, task_id, result_id, seed = map(item.get, ("taskType", "taskUUID", "audioUUID", "seed"))
    # Flat, so nothing in it can speak of another task.
    if not (isinstance(kind, str) and isinstance(task_id, str) and isinstance(result_id, str)):
        return None
    if not (_UUID.fullmatch(task_id) and _UUID.fullmatch(result_id)) or not (seed is None or type(seed) is int):
        return None
    found = links.link(item.get(_LINK))
    # What a cost is, however absurd, counts only beside audio.
    cost = None if found is None else money(item.get("cost"))
    if found is None or (cost is None and "cost" in item):
        return None
    task_id = task_id.lower()
    output = Output(result_id.lower(), task_id, result_id, found, None, None, seed, cost)
    return Reading((output,), (), False, (), frozenset((task_id,)))  # noqa: FBT003 - in the order of the fields


def _only_item(value: object) -> dict[str, object] | None:
    items = value["data"] if isinstance(value, dict) and value.keys() == _DOCUMENTED else None
    return items[0] if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict) else None


def under_way(parts: Sequence[Part]) -> tuple[bytes, Reading] | None:
    """Cut out and read what is documented of a task that is being made; None for whatever is more or less than that.

    Nearly every look is answered with it. A test holds this against ``slice_of`` and the reading of any form.
    """
    if len(parts) != 1 or parts[0].is_error or parts[0].value.keys() != _ACKNOWLEDGEMENT:
        return None
    value = parts[0].value
    kind, task_id, status = value["taskType"], value["taskUUID"], value["status"]
    if not (isinstance(kind, str) and isinstance(task_id, str) and isinstance(status, str)):
        return None
    if status not in PENDING or not _UUID.fullmatch(task_id) or not (kind.isascii() and kind.isalpha()):
        return None
    # Words that stand in JSON as they are.
    members = ",".join([f'"{name}":"{word}"' for name, word in value.items()])
    reading = Reading((), (), True, (), frozenset((task_id.lower(),)))  # noqa: FBT003 - in the order of the fields
    return f'{{"data":[{{{members}}}],"errors":[]}}'.encode(), reading


def parts_of(value: object) -> list[Part]:
    """Take a body apart.

    The forms: ``{"data":[…],"errors":[…]}`` with either key (runware.ai/docs, "Task polling"; callbacks by the README
    of Runware's Python SDK); the flat task object (callbacks by Runware's "integrate-with-runware" skill); an error
    alone in ``"error"`` (older pages); a list of any of these. Raises UnreadableError for any other, and for more
    parts than all tasks of a batch have.
    """
    envelopes = value if isinstance(value, list) else [value]
    parts: list[Part] = []
    for envelope in envelopes:
        known = mapping(envelope)
        if _KNOWN.isdisjoint(known):
            raise UnreadableError(f"{word(envelope)} that is no answer of Runware's")
        _take_apart(known, parts)
    return parts


def slice_of(parts: Iterable[Part]) -> bytes:
    """Return the least body that says the same as these parts, in the provider's own form."""
    parts = list(parts)
    data = [part.value for part in parts if not part.is_error]
    errors = [part.value for part in parts if part.is_error]
    return dump({"data": data, "errors": errors})


def named_in(value: object) -> frozenset[str]:
    """Return every task UUID anywhere in a body, in lower case: a body may nest them in forms we do not know."""
    found: set[str] = set()
    waiting: list[object] = [value]
    while waiting:
        current = waiting.pop()
        members: Iterable[object] = ()
        if isinstance(current, dict):
            name = text(current.get("taskUUID"))
            if name is not None:
                found.add(_named(name))
            members = current.values()
        elif isinstance(current, list):
            members = current
        # Most members are words and numbers: to take each up again was a fifth of all the time of reading.
        waiting += [member for member in members if isinstance(member, _NESTING)]
        if len(found) > _MOST_PARTS:
            raise UnreadableError(f"names more than {_MOST_PARTS} tasks")
    return frozenset(found)


def _only_name(body: bytes, parts: Sequence[Part]) -> frozenset[str] | None:
    """Return the task UUID of a body with one part, where no other can stand anywhere in it; else None."""
    if len(parts) != 1 or b"\\" in body or body.count(b"taskUUID") != 1:
        return None
    name = text(parts[0].value.get("taskUUID"))
    return None if name is None else frozenset((_named(name),))


def _named(name: str) -> str:
    return name.lower() if _UUID.fullmatch(name) else word(name)


def read_parts(parts: Sequence[Part], named: frozenset[str], via: Via) -> Reading:
    """Read the items and errors of one task. Raises UnreadableError for absurd figures and numbers of them."""
    if len(parts) > _MOST_PARTS:
        raise UnreadableError(f"more than {_MOST_PARTS} items and errors")
    collected = _Collected(via)
    for part in parts:
        if part.is_error:
            _read_error(part, collected)
        else:
            _read_item(part, collected)
    # In the order of the fields, as below: by name it takes half as long again.
    return Reading(
        tuple(collected.outputs),
        tuple(collected.failures),
        collected.pending,
        tuple(collected.oddities[:_MOST_ODDITIES]),
        named,
    )


def _take_apart(envelope: Mapping[str, object], parts: list[Part]) -> None:
    if "data" not in envelope and "errors" not in envelope:
        has_audio = any(envelope.get(name) for name in (_LINK, *INLINE))
        is_error = complains(envelope) and not has_audio and text(envelope.get("status")) is None
        _add(parts, envelope, is_error=is_error)
        return
    for name, is_error in _MEMBERS:
        members = envelope.get(name)
        for member in members if isinstance(members, list) else () if members is None else (members,):
            if isinstance(member, dict):
                _add(parts, member, is_error=is_error)
            elif is_error and isinstance(member, str):
                _add(parts, {"message": member}, is_error=True)
            else:
                raise UnreadableError(f"{word(member)} in {name}")
    if envelope.get("error"):
        rest = {name: value for name, value in envelope.items() if name not in {"data", "errors"}}
        _add(parts, rest, is_error=True)


def _add(parts: list[Part], value: Mapping[str, object], *, is_error: bool) -> None:
    if len(parts) >= _MOST_PARTS_OF_ALL:
        raise UnreadableError(f"more than {_MOST_PARTS_OF_ALL:,} items and errors")
    # An error that wraps its details in ``error`` may carry its task inside.
    name = text(value.get("taskUUID")) or text(mapping(value.get("error")).get("taskUUID"))
    parts.append(Part(value, is_error, None if name is None else name.lower()))


def belongs(part: Part) -> bool:
    """Tell whether a part of a poll's answer is about a generation, be it named or the only one asked about.

    Documented errors of a generation carry its UUID; without one, or in the name of ``getResponse``, it may be our
    question that went wrong.
    """
    if not part.is_error:
        return True
    judged = complaint(part.value)
    if judged.of_the_generation or judged.ambiguous:
        return True
    return part.task_id is not None and not judged.of_no_task


def _read_error(part: Part, collected: _Collected) -> None:
    judged = complaint(part.value)
    shown = judged.error.provider_code or "without a code"
    if judged.unknown_here and collected.via is Via.POLL:
        # "Not found" is also what a task says that was accepted and is not visible yet: it proves nothing.
        return
    if judged.ambiguous:
        collected.oddities.append(f"error {shown}")
    elif collected.via is Via.POLL and not belongs(part):
        collected.oddities.append(f"error of no task: {shown}")
    else:
        collected.failures.append(Failure(judged.error, part.task_id))


def _read_item(part: Part, collected: _Collected) -> None:
    status = part.value.get("status")
    said = status.strip().lower() if isinstance(status, str) else None
    output = _output(part, collected)
    unclear = said not in PENDING and said not in DONE and output is None
    if said == FAILED or (unclear and complains(part.value)):
        _read_error(part, collected)
        if output is not None:
            collected.outputs.append(output)
    elif said in PENDING:
        collected.pending = True
        if output is not None or complains(part.value):
            collected.oddities.append(f"{'an error' if output is None else 'audio'} while {word(said)}")
    elif said not in DONE and status is not None:
        # Never taken for an outcome, and never for progress: kept, shown, and asked about again.
        collected.oddities.append(f"status {word(status)}")
    elif output is not None:
        collected.outputs.append(output)
    elif status is None and part.value.keys() <= _ACKNOWLEDGEMENT:
        # The form of an acknowledgement: Runware has the task and tells no outcome.
        collected.pending = True
    else:
        members = ", ".join(word(name) for name in sorted(part.value.keys() - _ACKNOWLEDGEMENT)[:3])
        collected.oddities.append(f"an item without audio: {word(said) if said else members}")


def _output(part: Part, collected: _Collected) -> Output | None:
    value = part.value
    found = links.link(value.get(_LINK))
    inline = None if found is not None else text(value.get(_BASE64)) or text(value.get(_DATA_URI))
    if found is None and inline is None:
        if value.get(_LINK):
            collected.oddities.append(f"{_LINK} is no link")
        return None
    result_id = _result_id(value.get("audioUUID"), collected)
    if result_id is not None:
        identity = result_id.lower() if _UUID.fullmatch(result_id) else result_id
    else:
        identity = links.identity_of(found) if found is not None else _identity_of_audio(inline or "")
    # Not held against the accepted range: a drawn seed comes from the unsigned 32-bit range (the model's page).
    seed = _figure("seed", integer(value.get("seed")), value, collected)
    cost = _figure("cost", money(value.get("cost")), value, collected)
    return Output(identity, part.task_id, result_id, found, None, inline, seed, cost)


def _result_id(value: object, collected: _Collected) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_RESULT_ID and value.isprintable():
        return value
    collected.oddities.append("audioUUID is no identifier")
    return None


def _figure(name: str, read: int | None, value: Mapping[str, object], collected: _Collected) -> int | None:
    if read is None and value.get(name) is not None:
        collected.oddities.append(f"{name} is {word(value.get(name))}")
    return read


def _identity_of_audio(inline: str) -> str:
    """Name inline audio by its bytes, so that base64 and data URI of the same audio are one result."""
    encoded = inline.partition(",")[2] if inline.startswith("data:") else inline
    try:
        return hashlib.sha256(binascii.a2b_base64(encoded)).hexdigest()
    except ValueError:
        return hashlib.sha256(encoded.encode()).hexdigest()
