"""Bodies that nobody should send: what hypothesis draws from recorded payloads and the providers' own words."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from receiver.providers import PROVIDERS
from tests.providers.cases import payloads

NAMES = sorted(PROVIDERS)
LINKS = {"runware": "https://am.runware.ai/audio/honest.mp3", "aimlapi": "https://cdn.aimlapi.com/honest.mp3"}
OTHER_TASK = "11111111-2222-4333-8444-555555555555"

#: Every name and word that the providers use, and some that look like them.
KEYS = (
    *("data", "errors", "error", "taskType", "taskUUID", "status", "audioUUID", "audioURL", "audioBase64Data"),
    *("audioDataURI", "seed", "cost", "code", "message", "parameter", "type", "documentation", "responseContent"),
    *("id", "audio_file", "url", "meta", "usage", "usd_spent", "credits_used", "name", "detail", "loc", "msg"),
    *("statusCode", "title", "requestId", "generation_id", "taskUUID ", "", "__proto__", "\u202edata"),
)
WORDS = (
    *("success", "processing", "error", "completed", "queued", "generating", "failed", "expired", "Completed "),
    *("audioInference", "getResponse", "conflictTaskUUID", "contentPolicyViolation", "timeoutProvider", "404", "200"),
    *("https://am.runware.ai/a.mp3", "https://cdn.aimlapi.com/a.mp3?Expires=1777019942&Signature=x%2F", "data:,"),
    *("https://evil.example/a.mp3", "http://169.254.169.254/latest", "https://[::1", "javascript:1", "https://a@b/c"),
    *(OTHER_TASK, OTHER_TASK.upper(), "{TASK}", "{GENERATION}", "QUJDRA==", "nothing known", "\u202e\u2066\u200b"),
    *("\x1b]0;title\x07", "\x1b[2J", "[bold]x[/bold]", "'; DROP TABLE tasks;--", "🎵" * 40, "ß" * 2000, "z" * 70_000),
)
LONG = 100
NUMBERS = (
    *(0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 10**400, 0.15, -0.01, 1e308, 10_000.000001),
    *(float("nan"), float("inf"), float("-inf"), 1e-320),
)
BRACKETS = ((b"[", b"]"), (b'{"data":', b"}"), (b'{"errors":[', b"]}"))
odd_texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=12),
    st.sampled_from(["\x00", "a\x00b", "\ud800", "x\udfff", "\ufeff", "\x7f", "\x9b31m"]),
)
scalars = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), odd_texts)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=14,
)


def recorded(name: str) -> list[object]:
    """The recorded bodies of a provider that are JSON."""
    found: list[object] = []
    for payload in (*payloads(), *payloads("poll"), *payloads("submit")):
        if payload.provider == name:
            with suppress(ValueError, RecursionError):
                found.append(json.loads(payload.body))
    return found


RECORDED = {name: recorded(name) for name in NAMES}


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value."""
    inner: list[tuple[object, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, member in inner for place in places(member, (*path, key)))]


def at(value: object, path: tuple[Any, ...]) -> object:
    """What stands at one place."""
    for step in path:
        assert isinstance(value, dict | list)
        value = value[step]
    return value


def with_change(value: object, path: tuple[object, ...], new: object) -> object:
    """A JSON value with something else at one place."""
    if not path:
        return new
    if isinstance(value, dict):
        return {**value, path[0]: with_change(value[path[0]], path[1:], new)}
    assert isinstance(value, list)
    assert isinstance(path[0], int)
    return [*value[: path[0]], with_change(value[path[0]], path[1:], new), *value[path[0] + 1 :]]


@st.composite
def changed(draw: st.DrawFn, name: str) -> object:
    """A recorded body with something else at up to three places, mostly a single value."""
    value = draw(st.sampled_from(RECORDED[name]))
    changes: int = draw(st.sampled_from([0, 1, 1, 1, 2, 3]))
    for _ in range(changes):
        every = places(value)
        leaves = [place for place in every if not isinstance(at(value, place), dict | list)]
        small: bool = draw(st.sampled_from([True, True, True, False]))
        if leaves and small:
            value = with_change(value, draw(st.sampled_from(leaves)), draw(scalars))
        else:
            value = with_change(value, draw(st.sampled_from(every[1:] or every)), draw(values))
    return value


@st.composite
def documents(draw: st.DrawFn, name: str) -> bytes:
    """JSON that Python writes: with NaN, with halves of surrogate pairs, with what is beyond 64 bit."""
    value = draw(values if draw(st.integers(0, 7)) == 7 else changed(name))
    times = draw(st.sampled_from([1] * 8 + [2, 65, 3000]))
    if times > 1 and isinstance(value, dict) and isinstance(value.get("data"), list):
        value = {**value, "data": (value["data"] * times)[:3000]}
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 11)) == 11:
        # Said twice in one object: which of the two counts differs from parser to parser.
        key = draw(st.sampled_from(KEYS))
        text = f"{{{json.dumps(key)}:{text},{json.dumps(key)}:{text}}}"
    return text.encode("utf-8", "surrogatepass")


@st.composite
def bodies(draw: st.DrawFn, name: str) -> bytes:
    """A document whole, cut, spliced with another or with bytes, deep, or no document at all."""
    body = draw(documents(name))
    spoilt = {
        "whole": st.just(body),
        "cut": st.integers(0, max(0, len(body) - 1)).map(lambda end: body[:end]),
        "spliced": st.tuples(st.integers(0, len(body)), st.binary(max_size=6) | documents(name)).map(
            lambda splice: body[: splice[0]] + splice[1] + body[splice[0] :]
        ),
        "bytes": st.binary(max_size=64),
        "marked": st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"  ", b")]}',\n"]).map(
            lambda mark: mark + body
        ),
        "deep": st.tuples(st.sampled_from(BRACKETS), st.sampled_from([20, 100, 30_000])).map(
            lambda deep: deep[0][0] * deep[1] + body + deep[0][1] * deep[1]
        ),
        "wide": st.sampled_from([2, 70]).map(lambda times: b'{"data":[' + b",".join([body] * times) + b"]}"),
    }
    return draw(spoilt[draw(st.sampled_from(["whole"] * 13 + list(spoilt)))])


#: What the provider really says of a task that succeeded.
HONEST = {
    "runware": b'{"data":[{"taskUUID":"{TASK}","audioUUID":"{TASK}","status":"success","audioURL":"%s"}]}'
    % LINKS["runware"].encode(),
    "aimlapi": b'{"id":"{GENERATION}","status":"completed","audio_file":{"url":"%s"}}' % LINKS["aimlapi"].encode(),
}

answers = st.tuples(
    st.sampled_from([200] * 12 + [201, 204, 301, 400, 401, 402, 403, 404, 429, 500, 503]),
    st.fixed_dictionaries(
        {},
        optional={
            "retry-after": st.sampled_from(["0", "-1", "9" * 40, "Fri, 31 Dec 99999 23:59:59 GMT", "\xff", "inf"]),
            "x-aimlapi-usd-spent": st.sampled_from(["0.15", "NaN", "1e999999", "-1", "\xff", "9" * 99]),
            "content-type": st.sampled_from(["text/html", "application/json; charset=utf-16"]),
        },
    ),
)


@dataclass(frozen=True)
class Sent:
    """A body on its way, as a callback or as the answer to a poll."""

    body: bytes
    polled: bool
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@st.composite
def sendings(draw: st.DrawFn, name: str) -> Sent:
    kind: str = draw(st.sampled_from(["strange", "strange", "nearly honest", "honest"]))
    if kind == "honest":
        return Sent(HONEST[name], polled=draw(st.booleans()))
    if kind == "nearly honest":
        said: bytes = draw(
            st.sampled_from([LINKS[name].encode(), b"{TASK}", b"{GENERATION}", b"success", b"completed"])
        )
        word: str = draw(st.sampled_from(WORDS).filter(lambda word: len(word) < LONG))
        lie = json.dumps(word)[1:-1].encode()
        return Sent(HONEST[name].replace(said, lie, draw(st.sampled_from([1, 2]))), polled=draw(st.booleans()))
    status, headers = draw(answers)
    return Sent(draw(bodies(name)), draw(st.booleans()), status, headers)
