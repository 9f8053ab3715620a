"""Holds real answers against the document of the interface: what is not described there is not to be given."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from receiver.web import WebConfig, create_app
from receiver.web.docs import DOCUMENT
from tests.web.fakes import KEY, World

#: What any address may answer that is not described, and any described address to a method that is not.
_ELSEWHERE = {401, 404, 429, 500, 503}


@cache
def document() -> dict[str, Any]:
    """Return the document of a process with all roles, as it is answered."""
    app = create_app(World().ports, WebConfig(api_keys=(KEY,), metrics_page=bytes))
    return ask(app, DOCUMENT)


def ask(app: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - an ASGI application
    """Return the JSON answer to a GET with the key, outside of any running loop."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"authorization", f"Bearer {KEY}".encode())],
        "client": ("127.0.0.1", 1),
    }
    # Nothing in it waits for anything, so it runs through at once, also within a running loop.
    answering = app(scope, receive, send)
    try:
        answering.send(None)
    except StopIteration:
        pass
    else:
        raise AssertionError("the answer waits for something")
    told: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    return told


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), path) for path in paths]


@cache
def _validator(*place: str) -> Draft202012Validator:
    """Return what judges values by the schema at that place of the document."""
    pointer = "/".join(
        part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D") for part in place
    )
    return Draft202012Validator({**document(), "$ref": f"#/{pointer}"})


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise AssertionError for an answer that the document does not describe."""
    what = f"{method} {path} -> {status}"
    media_type = headers.get("content-type", "").partition(";")[0].lower()
    template = next((template for pattern, template in _templates() if pattern.fullmatch(path)), None)
    operation = document()["paths"].get(template, {}).get("get" if method == "HEAD" else method.lower())
    if operation is None:
        allowed = _ELSEWHERE | ({405} if template is not None else set())
        assert status in allowed, f"{what}: not described"
        if body:
            _fits(json.loads(body), ("components", "schemas", "Problem"), what)
        return
    described = operation["responses"].get(str(status))
    assert described is not None, f"{what}: this status is not described"
    if method == "HEAD" or not (body or described.get("content")):
        return
    content = described.get("content", {})
    assert media_type in content, f"{what}: {media_type!r} is not among {sorted(content)}"
    if media_type.endswith("json"):
        verb = method.lower()
        place = ("paths", template or "", verb, "responses", str(status), "content", media_type, "schema")
        _fits(json.loads(body), place, what)


def _fits(value: object, place: tuple[str, ...], what: str) -> None:
    told = [f"{error.instance_path}: {error.message[:200]}" for error in _validator(*place).iter_errors(value)]
    assert told == [], f"{what}: {told}"
