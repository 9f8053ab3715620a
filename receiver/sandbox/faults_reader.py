"""Reading faults from a JSON document or from what was typed on a command line, with every mistake named."""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, assert_never

from receiver.sandbox.faults import FaultOption, Faults, FaultValue, Kind, fault_options

_SPAN_ENDS = 2
_STATUSES = range(200, 600)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a faults document: the field's name and what is the matter."""

    field: str
    message: str


class FaultsError(ValueError):
    """The faults document holds unknown names or wrong values; `mistakes` lists every one."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        """Keep all mistakes, and say them in one line."""
        super().__init__("; ".join(f"{mistake.field}: {mistake.message}" for mistake in mistakes))
        self.mistakes = mistakes


def faults_from_document(document: Mapping[str, object]) -> Faults:
    """Return the faults of a JSON object; names left out take their defaults. Raises FaultsError."""
    options = {option.name: option for option in fault_options()}
    mistakes: list[Mistake] = []
    values: dict[str, Any] = {}
    for name, value in document.items():
        option = options.get(name)
        if option is None:
            mistakes.append(Mistake(name, _unknown(name, options)))
            continue
        try:
            values[name] = _value(option, value)
        except ValueError as error:
            mistakes.append(Mistake(name, str(error)))
    if mistakes:
        raise FaultsError(tuple(mistakes))
    return Faults(**values)


def faults_from_text(typed: Mapping[str, str]) -> Faults:
    """Return the faults of `{name: text}`, each text JSON or a plain word; a span may be typed `2,4`.

    Raises FaultsError.
    """
    options = {option.name: option for option in fault_options()}
    return faults_from_document({name: _typed(options.get(name), text) for name, text in typed.items()})


def faults_document(faults: Faults) -> dict[str, object]:
    """Return the faults as JSON values, every name present; what `faults_from_document` reads back."""
    values = {entry.name: getattr(faults, entry.name) for entry in fields(Faults)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _unknown(name: str, options: Mapping[str, FaultOption]) -> str:
    near = difflib.get_close_matches(name, options, n=1)
    return f"unknown fault; did you mean {near[0]}?" if near else "unknown fault"


def _typed(option: FaultOption | None, text: str) -> object:
    """Return the JSON value a typed text stands for; a text that is no JSON stands for itself."""
    if option is not None and option.kind in {Kind.CHOICE, Kind.TEXT}:
        return text
    if option is not None and option.kind is Kind.SPAN and not text.startswith("["):
        text = f"[{text}]"
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _value(option: FaultOption, value: object) -> FaultValue:
    """Return `value` as the option's kind wants it; raises ValueError that says what is allowed."""
    if value is None and option.optional:
        return None
    read = _read(option, value)
    if read is None:
        allowed = f"one of {', '.join(option.words)}" if option.words else option.kind.value
        message = f"must be {allowed}"
        raise ValueError(message)
    return read


def _read(option: FaultOption, value: object) -> FaultValue:
    """Return the value of the option's kind, None when it is of another."""
    read: FaultValue = None
    match option.kind:
        case Kind.SHARE:
            number = _number(value)
            read = number if number is not None and number <= 1.0 else None
        case Kind.SECONDS:
            read = _number(value)
        case Kind.SPAN:
            read = _span(value)
        case Kind.COUNT:
            read = _whole(value)
        case Kind.STATUS:
            whole = _whole(value)
            read = whole if whole in _STATUSES else None
        case Kind.CHOICE:
            read = value if isinstance(value, str) and value in option.words else None
        case Kind.TEXT:
            read = value if isinstance(value, str) and value and value.isascii() else None
        case Kind.FLAG:
            read = value if isinstance(value, bool) else None
        case _:
            assert_never(option.kind)
    return read


def _number(value: object) -> float | None:
    """Return a finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _whole(value: object) -> int | None:
    """Return a whole number of 0 or more."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _span(value: object) -> tuple[float, float] | None:
    """Return two numbers in ascending order."""
    if not isinstance(value, list | tuple) or len(value) != _SPAN_ENDS:
        return None
    low, high = _number(value[0]), _number(value[1])
    if low is None or high is None or low > high:
        return None
    return low, high
