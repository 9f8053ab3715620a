"""Checks a request for a music cover against the schema on AIMLAPI's music-cover page, field by field.

The schema contradicts itself: defaults of integer fields are strings, and the reference audio is "a URL or a
Base64-encoded" text with `format: uri`. Integers are wanted here as integers; base64 is taken with and without
`data:` unless the switch `raw_base64` says otherwise. Unknown fields are ignored: the schema allows them.
"""

import re
from collections.abc import Mapping
from typing import Any

from receiver.sandbox.encode import Encoding, Format
from receiver.sandbox.faults import Faults
from receiver.sandbox.generation import Order, Provider
from receiver.sandbox.reference import reference_of
from receiver.sandbox.wire import is_http_url

MODEL = "minimax/music-cover"
_RATES = (16000, 24000, 32000, 44100)
_BITRATES = (32000, 64000, 128000, 256000)
_FORMATS = ("mp3", "wav", "pcm")
_SHORTEST_BASE64 = 64
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
_TYPE_NAMES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def check_request(document: object, client_request_id: str | None, faults: Faults) -> Order | str:
    """Return the order that a body amounts to, or the sentence that says what is wrong with it."""
    if not isinstance(document, dict):
        return f"Expected object, received {_type_name(document)}"
    problems: list[str] = []
    model = document.get("model")
    if model != MODEL and (faults.models == "cover" or not isinstance(model, str)):
        problems.append(f"model: Invalid enum value. Expected '{MODEL}', received {_shown(model)}")
    _check_text(document, "prompt", 10, 2000, problems, required=True)
    _check_text(document, "lyrics", 10, 3000, problems)
    _check_reference(document.get("reference_audio_url"), faults, problems)
    setting = document.get("audio_setting", {})
    if isinstance(setting, dict):
        _check_choice(setting, "sample_rate", _RATES, problems)
        _check_choice(setting, "bitrate", _BITRATES, problems)
        _check_choice(setting, "format", _FORMATS, problems)
    else:
        problems.append(f"audio_setting: Expected object, received {_type_name(setting)}")
    if problems:
        return "; ".join(problems)
    return Order(
        provider=Provider.AIMLAPI,
        wire=document,
        batch=(document,),
        encoding=Encoding(
            format=Format(setting.get("format", "mp3")),
            rate=setting.get("sample_rate", 44100),
            kilobits=setting.get("bitrate", 256000) // 1000,
        ),
        client_request_id=client_request_id,
        reference=reference_of(str(document["reference_audio_url"])),
    )


def _check_text(
    document: Mapping[str, Any], name: str, low: int, high: int, problems: list[str], *, required: bool = False
) -> None:
    """Check a string and its length."""
    if name not in document:
        if required:
            problems.append(f"{name}: Required")
        return
    value = document[name]
    if not isinstance(value, str):
        problems.append(f"{name}: Expected string, received {_type_name(value)}")
    elif len(value) < low:
        problems.append(f"{name}: String must contain at least {low} character(s)")
    elif len(value) > high:
        problems.append(f"{name}: String must contain at most {high} character(s)")


def _check_choice(
    setting: Mapping[str, Any], name: str, allowed: tuple[int, ...] | tuple[str, ...], problems: list[str]
) -> None:
    """Check an optional enumeration; numbers are numbers, although the schema's defaults are strings."""
    if name not in setting:
        return
    value = setting[name]
    if isinstance(value, bool) or value not in allowed:
        words = " | ".join(f"'{word}'" if isinstance(word, str) else str(word) for word in allowed)
        problems.append(f"audio_setting.{name}: Invalid enum value. Expected {words}, received {_shown(value)}")


def _check_reference(value: object, faults: Faults, problems: list[str]) -> None:
    """Check that the reference audio is a URL, a data URI or base64; it is never fetched."""
    if value is None:
        problems.append("reference_audio_url: Required")
    elif not isinstance(value, str):
        problems.append(f"reference_audio_url: Expected string, received {_type_name(value)}")
    elif not (is_http_url(value) or _is_data(value) or (faults.raw_base64 == "accept" and _is_base64(value))):
        problems.append("reference_audio_url: Invalid url")


def _is_data(value: str) -> bool:
    head, comma, content = value[:128].partition(",")
    return head.startswith("data:") and bool(comma) and bool(content)


def _is_base64(value: str) -> bool:
    return len(value) >= _SHORTEST_BASE64 and _BASE64.fullmatch(value) is not None


def _type_name(value: object) -> str:
    """Return the JSON type of a value as the provider's messages spell it."""
    return "null" if value is None else _TYPE_NAMES.get(type(value), "unknown")


def _shown(value: object) -> str:
    """Return a value as messages quote it: short words only."""
    if isinstance(value, str):
        return f"'{value[:64]}'"
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _type_name(value)
