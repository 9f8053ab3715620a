"""What an event of the timeline says, in words where its names are known and as ``name=value`` where they are not."""

import json
from collections.abc import Callable, Mapping

from receiver.cli.words import amount, span

#: The end of an id: those that begin with the time begin alike.
_SHORT_ID = 8


def phrase(data: Mapping[str, object], results: Mapping[str, str]) -> str:
    """Return the words for an event's data; ``results`` names results by their ids."""
    told = [_said(name, value, results) for name, value in data.items() if value is not None and value is not False]
    if {"stored", "expected"} <= data.keys():
        told.insert(0, f"{_plain(data['stored'])} of {_plain(data['expected'])} stored")
    return ", ".join(words for words in told if words)


def _said(name: str, value: object, results: Mapping[str, str]) -> str:
    if name == "result_id":
        return results.get(str(value), f"result {value}")
    form = _FORMS.get(name)
    return f"{name}={_plain(value)}" if form is None else form(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _nothing(value: object) -> str:
    del value
    return ""


def _after(word: str) -> Callable[[object], str]:
    return lambda value: f"{word} {_plain(value)}"


def _only(word: str) -> Callable[[object], str]:
    return lambda value: word if value is True else f"{word}={_plain(value)}"


def _counted(one: str) -> Callable[[object], str]:
    return lambda value: "" if value == 0 else f"{_plain(value)} {one}" + ("" if value == 1 else "s")


def _failed(value: object) -> str:
    return "none failed" if value == 0 else f"{_plain(value)} failed"


def _listed(value: object) -> str:
    return ", ".join(_plain(item) for item in value) if isinstance(value, list) else _plain(value)


def _short(word: str) -> Callable[[object], str]:
    return lambda value: f"{word} {_plain(value)[-_SHORT_ID:]}"


def _of(value: object) -> str:
    # What a callback repeats is a report's id, what a delivery tells is an event's type.
    return f"of {value}" if "." in _plain(value) else _short("repeats")(value)


def _size(value: object) -> str:
    return amount(value) if isinstance(value, int) else _plain(value)


def _seconds(value: object) -> str:
    return span(value) if isinstance(value, int | float) else _plain(value)


_FORMS: Mapping[str, Callable[[object], str]] = {
    "reason": _plain,
    "message": _plain,
    "detail": _plain,
    "outcome": _plain,
    "media_type": _plain,
    "code": _plain,
    "provider": _plain,
    "model": _plain,
    "via": _after("by"),
    "http_status": _after("HTTP"),
    "attempt": _after("attempt"),
    "attempts": _after("attempt"),
    "status_code": _after("HTTP"),
    "error": _plain,
    "next_attempt_at": _after("next at"),
    "tries": _after("stored at try"),
    "last_fault": _after("the last fault:"),
    "delivery_id": _short("delivery"),
    # Endpoints are random ids, whose first characters every command takes.
    "endpoint_id": lambda value: f"to endpoint {_plain(value)[:_SHORT_ID]}",
    "provider_task_id": _after("provider id"),
    "report_id": _short("report"),
    "of": _of,
    "count": _counted("result"),
    "results": _counted("result"),
    "outputs": _counted("output"),
    "failures": _counted("failure"),
    "failed": _failed,
    "was": _after("was"),
    "oddities": _listed,
    "pending": _only("pending"),
    "late": _only("late"),
    "adopted": _only("adopted"),
    "bytes": _size,
    "seconds": _seconds,
    "duration_seconds": _seconds,
    # Said together.
    "stored": _nothing,
    "expected": _nothing,
    # Stands in the task's own lines already.
    "index": _nothing,
    "sha256": _nothing,
    "deadline_at": _nothing,
}
