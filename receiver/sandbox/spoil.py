"""Broken bodies and lost answers: what a proxy, a cut connection or a bug makes of good JSON."""

from starlette.responses import Response

from receiver.sandbox.chance import Chance
from receiver.sandbox.wire import LostAnswer

_NESTED = 50_000
_PAGE = b"<!doctype html><title>502 Bad Gateway</title><h1>Bad Gateway</h1>"


def spoiled(body: bytes, chance: Chance, *index: int) -> bytes:
    """Return something that is not the JSON it should be: cut, empty, a page, wrong bytes, NaN, too deep, a word."""
    forms = (
        body[: len(body) // 2],
        b"",
        _PAGE,
        b"\xff\xfe" + body,
        body.rstrip()[:-1] + b',"cost":NaN}',
        b"[" * _NESTED,
        b'"ok"',
    )
    return chance.pick(forms, "spoiled", *index)


def bad_gateway() -> bytes:
    """Return the web page of a proxy in front of a provider."""
    return _PAGE


def lost_answer(how: str) -> Response:
    """Return the answer of a submit that was accepted, but whose sender shall not learn of it."""
    match how:
        case "bad_gateway":
            return Response(bad_gateway(), 502, media_type="text/html")
        case "unreadable":
            return Response(bad_gateway(), 200, media_type="text/html")
        case _:
            return LostAnswer()
