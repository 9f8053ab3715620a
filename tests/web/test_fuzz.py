"""Whatever is sent, the answer is below 500, and nothing that was not meant is stored."""

import asyncio
import json
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.web import create_app
from receiver.web.schemas import FIELDS
from tests.web.fakes import BEARER, World
from tests.web.support import config

SUBJECT = UUID("01900000-0000-7000-8000-000000000001")
#: A loaded machine is no failure of ours.
QUIETLY = settings(deadline=None, max_examples=50, database=None)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(
        ["runware", "aimlapi", "bossa nova, nylon guitar", "https://files.example.org/in.mp3", "A" * 400]
    ),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
extras = st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(max_size=12), values, max_size=4)
good = {
    "provider": "runware",
    "prompt": "bossa nova, nylon guitar",
    "reference_audio": "https://files.example.org/in.mp3",
}
bodies = st.one_of(
    extras.map(lambda fields: json.dumps(good | fields).encode()),
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
)
#: Any ASCII a server lets through in a path or a query.
targets = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=40)
encoded = st.text(max_size=20).map(lambda text: quote(text, safe="/")) | targets
parameters = st.sampled_from(["limit", "cursor", "status", "provider", "created_after", "metadata.a", "wait", "x"])


def ask(
    world: World,
    method: str,
    raw_path: str,
    *,
    query: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    body: bytes = b"",
) -> tuple[int, bytes]:
    """Return status and body of the answer to exactly these bytes, as uvicorn would hand them on."""
    sent: list[dict[str, Any]] = []
    bearer = (b"authorization", BEARER["Authorization"].encode())
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", b"x"), bearer, *(headers or [])],
        "client": ("203.0.113.7", 5000),
    }
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(received, {"type": "http.disconnect"})

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        sent.append(message)

    asyncio.run(create_app(world.ports, config())(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@QUIETLY
@given(body=bodies)
def test_any_body_of_a_new_task_is_taken_or_refused_with_reasons(body: bytes) -> None:
    world = World()
    status, answer = ask(world, "POST", "/v1/tasks", body=body)
    assert status in {202, 400, 422}
    assert len(world.store.by_id) == (1 if status == 202 else 0)
    if status == 422:
        assert json.loads(answer)["errors"]
    # What was taken can be shown again.
    for task_id in world.store.by_id:
        assert ask(world, "GET", f"/v1/tasks/{task_id}")[0] == 200


@QUIETLY
@given(tail=encoded)
def test_any_path_at_the_callback_door_is_404(tail: str) -> None:
    world = World()
    for path in (f"/callbacks/{tail}", f"/callbacks/runware/{tail}"):
        assert ask(world, "POST", path, body=b"{}")[0] == 404
    assert world.store.appended == []


@QUIETLY
@given(place=st.integers(min_value=0, max_value=69), letter=encoded.filter(bool))
def test_any_change_to_a_token_is_404(place: int, letter: str) -> None:
    world = World()
    token = world.token(SUBJECT)
    for spoilt in (token[:place] + letter + token[place + 1 :], token[:place] + letter + token[place:]):
        if spoilt != token:
            assert ask(world, "POST", f"/callbacks/runware/{spoilt}", body=b"{}")[0] == 404
    assert world.store.appended == []


@QUIETLY
@given(tail=encoded, method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "BREW"]), query=encoded)
def test_any_path_of_the_private_side_is_answered(tail: str, method: str, query: str) -> None:
    for path in (f"/{tail}", f"/v1/{tail}", f"/v1/tasks/{tail}", f"/v1/tasks/{SUBJECT}/results/{tail}/audio"):
        assert ask(World(), method, path, query=query)[0] < 500


@QUIETLY
@given(query=st.lists(st.tuples(parameters, encoded), max_size=5))
def test_any_query_is_answered_or_refused_with_reasons(query: list[tuple[str, str]]) -> None:
    text = "&".join(f"{name}={value}" for name, value in query)
    assert ask(World(), "GET", "/v1/tasks", query=text)[0] in {200, 422}


@QUIETLY
@given(asked=st.binary(max_size=40))
def test_any_range_is_answered(asked: bytes) -> None:
    world = World()
    task = world.task(results=(world.stored_result(b"0123456789"),))
    path = f"/v1/tasks/{task.id}/results/{task.results[0].id}/audio"
    for value in (asked, b"bytes=" + asked):
        status, _ = ask(world, "GET", path, headers=[(b"range", value), (b"if-none-match", asked)])
        assert status in {200, 206, 304, 416}
