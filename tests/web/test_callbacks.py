from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import Provider, Queue
from receiver.web import problems
from tests.web.fakes import FakeProvider, World
from tests.web.support import client

TASK_KEY = UUID("01900000-0000-7000-8000-000000000001")


async def post(
    world: World,
    target: str,
    body: bytes = b"{}",
    **fields: Any,  # noqa: ANN401 - fields of a WebConfig
) -> httpx.Response:
    async with client(world, headers={}, **fields) as http:
        return await http.post(target, content=body)


def target(world: World, token: str | None = None, provider: str = "runware") -> str:
    return f"/callbacks/{provider}/{token or world.token(TASK_KEY)}"


async def test_a_callback_is_stored_verbatim_and_then_accepted(world: World) -> None:
    body = b'{"data": [{"taskUUID": "6f1c"}]}\n'
    answer = await post(world, target(world), body)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    [report] = world.store.appended
    assert (report.task_key, report.provider, report.body, report.size) == (TASK_KEY, "runware", body, len(body))
    assert world.woken == [Queue.SETTLE]
    assert world.metrics.counts["callbacks", "accepted", "runware"] == 1


async def test_a_second_identical_callback_answers_200_and_changes_nothing(world: World) -> None:
    where = target(world)
    await post(world, where)
    answer = await post(world, where)
    assert (answer.status_code, answer.json()) == (200, {"status": "duplicate"})
    assert len(world.store.appended) == 1


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "\x85\xff"])
@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\x00\x80", b"[" * 100_000])
async def test_any_body_of_any_type_is_stored(world: World, content_type: str | None, body: bytes) -> None:
    headers = [] if content_type is None else [(b"Content-Type", content_type.encode("latin-1"))]
    async with client(world, headers={}) as http:
        answer = await http.post(target(world), content=body, headers=headers)
    assert answer.status_code == 200
    assert world.store.appended[0].body == body
    assert (world.store.appended[0].content_type or "").isascii()


async def test_an_adapter_has_the_headers_by_lower_case_names_of_several_alike_the_last(world: World) -> None:
    seen: list[Mapping[str, str]] = []

    class Signed(FakeProvider):
        def doubts(self, headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
            seen.append(headers)
            return super().doubts(headers, body, now)

    world.ports = replace(world.ports, providers={"runware": cast("Provider", Signed("runware"))})
    sent = [("X-Signature", "first"), ("x-signature", "s\xe9cond"), ("Content-Type", "text/\xe9")]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in sent]
    async with client(world, headers={}) as http:
        await http.post(target(world), content=b"{}", headers=raw)
    [headers] = seen
    assert headers["x-signature"] == dict(headers)["x-signature"] == "s\xe9cond"
    assert headers["content-type"] == "text/?"
    assert {"host", "content-length"} <= set(headers)
    assert len(headers) == len(list(headers))
    assert headers.get("X-Signature") is headers.get("n\xf6ne") is headers.get("\u4e2d") is None


async def test_every_address_that_is_not_ours_gets_one_and_the_same_404(world: World) -> None:
    good = world.token(TASK_KEY)
    other = world.token(uuid4())
    swapped = good[:30] + other[30:]
    addresses = [
        target(world, "nonsense"),
        target(world, good[:-1]),
        target(world, good + "A"),
        target(world, swapped),
        target(world, "A" * 70),
        target(world, good, provider="aimlapi"),
        target(world, good, provider="nobody"),
        target(world, world.token(TASK_KEY, lifetime=timedelta(seconds=-1))),
        target(world) + "/",
        target(world) + "//",
        "/callbacks",
        "/callbacks/",
        "/callbacks/runware",
        "/callbacks/runware/",
        f"/callbacks//{good}",
        f"/callbacks/runware/more/{good}",
        f"/callbacks/runware/%{ord(good[0]):02x}{good[1:]}",
        f"/callbacks/run%77are/{good}",
        f"/call%62acks/runware/{good}",
        f"/callbacks/runware%2F{good}",
        "/callbacks/runware/%ff%00",
        "/callbacksrunware",
    ]
    answers = [await post(world, address, b"x" * 10) for address in addresses]
    assert {answer.status_code for answer in answers} == {404}
    assert {(answer.content, tuple(sorted(answer.headers.items()))) for answer in answers} == {
        (answers[0].content, tuple(sorted(answers[0].headers.items())))
    }
    assert answers[0].headers["connection"] == "close"
    assert answers[0].json()["type"] == problems.NOT_FOUND.type
    assert world.store.appended == []
    assert world.metrics.counts["callbacks_bad_token",] == len(addresses)


async def test_bad_tokens_are_counted_and_never_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await post(world, target(world, "B" * 70))
    assert caplog.records == []


async def test_looking_at_the_address_tells_only_whether_the_token_verifies(world: World) -> None:
    async with client(world, headers={}) as http:
        for method in ("GET", "HEAD"):
            assert (await http.request(method, target(world))).status_code == 204
            assert (await http.request(method, target(world, "nonsense"))).status_code == 404
    assert world.store.appended == []
    assert world.store.looked_at == []


async def test_another_method_is_405_for_a_good_token_and_404_for_a_bad_one(world: World) -> None:
    async with client(world, headers={}) as http:
        good = await http.put(target(world), content=b"{}")
        bad = await http.put(target(world, "nonsense"), content=b"{}")
    assert (good.status_code, good.headers["allow"]) == (405, "GET, HEAD, POST")
    assert bad.status_code == 404


async def test_a_query_behind_a_good_token_loses_no_callback(world: World) -> None:
    assert (await post(world, target(world) + "?attempt=2")).status_code == 200


async def test_a_body_over_the_limit_is_413_and_the_task_is_looked_at(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await post(world, target(world), b"x" * 101, max_callback_bytes=100)
    assert (answer.status_code, answer.json()["type"]) == (413, problems.TOO_LARGE.type)
    assert answer.headers["connection"] == "close"
    assert world.store.appended == []
    assert world.store.looked_at == [TASK_KEY]
    assert world.woken == [Queue.POLL]
    assert [record.message for record in caplog.records] == ["callback_too_large"]


async def test_a_task_whose_callbacks_are_all_oversized_fills_no_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(world, headers={}, max_callback_bytes=100) as http:
        for where in [target(world)] * 3 + [target(world, world.token(uuid4()))] * 2:
            assert (await http.post(where, content=b"x" * 101)).status_code == 413
    assert [record.message for record in caplog.records] == ["callback_too_large"] * 2
    assert world.store.looked_at.count(TASK_KEY) == 3


async def test_a_body_of_exactly_the_limit_is_taken(world: World) -> None:
    assert (await post(world, target(world), b"x" * 100, max_callback_bytes=100)).status_code == 200


async def test_an_oversized_body_is_503_when_the_look_in_its_place_cannot_be_written_down(world: World) -> None:
    world.store.fault = UnavailableError("the database is away")
    answer = await post(world, target(world), b"x" * 101, max_callback_bytes=100)
    assert answer.status_code == 503


async def test_the_65th_different_body_is_429_and_the_task_is_looked_at(world: World) -> None:
    where = target(world)
    for number in range(64):
        assert (await post(world, where, b"%d" % number)).status_code == 200
    answer = await post(world, where, b"one more")
    assert (answer.status_code, answer.json()["type"]) == (429, problems.TOO_MANY_BODIES.type)
    assert (await post(world, where, b"63")).json() == {"status": "duplicate"}
    assert world.store.looked_at == [TASK_KEY]


@pytest.mark.parametrize("fault", [UnavailableError("the database is away"), RuntimeError("odd"), TimeoutError()])
async def test_every_fault_of_ours_is_503_and_logged_without_body_and_token(
    world: World, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.fault = fault
    token = world.token(TASK_KEY)
    answer = await post(world, target(world, token), b'{"secret":"of the provider"}')
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    [record] = caplog.records
    assert record.message == "callback_fault"
    written = str(record.__dict__)
    assert type(fault).__name__ in written
    assert token not in written
    assert "of the provider" not in written


async def test_the_words_of_a_foreign_error_are_not_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.fault = ValueError("cannot read 'of the provider'")
    await post(world, target(world))
    assert "of the provider" not in str(caplog.records[0].__dict__)


async def test_a_large_body_goes_to_the_artifact_store_and_a_fault_there_is_503(world: World) -> None:
    body = b"x" * 300_000
    assert (await post(world, target(world), body)).status_code == 200
    assert list(world.objects.kept.values()) == [body]
    world.objects.broken = True
    assert (await post(world, target(world), body + b"y")).status_code == 503


async def test_large_bodies_beyond_the_room_for_all_of_them_are_asked_to_come_again(world: World) -> None:
    where = target(world)
    async with client(world, headers={}, max_callback_bytes=150_000, callback_room_bytes=150_000) as http:
        answers: list[httpx.Response] = []

        async def slowly() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            # While this body is under way there is no room for a second one, and enough for a small one.
            answers.append(await http.post(where, content=b"y" * 100_000))
            answers.append(await http.post(where, content=b"small"))
            yield b"x"

        first = await http.post(where, content=slowly())
        again = await http.post(where, content=b"y" * 100_000)
    assert first.status_code == 200
    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[0].headers["retry-after"] == "5"
    assert again.status_code == 200
    assert world.metrics.counts["callbacks", "no_room", "runware"] == 1


async def test_one_task_does_not_take_the_room_of_the_others(world: World) -> None:
    where, other = target(world), f"/callbacks/runware/{world.token(uuid4())}"
    async with client(world, headers={}, max_callback_bytes=150_000, callback_room_bytes=600_000) as http:
        answers: list[httpx.Response] = []

        async def slowly() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            answers.append(await http.post(where, content=b"y" * 100_000))
            answers.append(await http.post(other, content=b"y" * 100_000))
            yield b"x"

        assert (await http.post(where, content=slowly())).status_code == 200
        assert (await http.post(where, content=b"y" * 100_000)).status_code == 200
    assert [answer.status_code for answer in answers] == [503, 200]


async def test_without_the_role_there_is_no_door(world: World) -> None:
    answer = await post(world, target(world), roles=frozenset({"api"}))
    assert answer.status_code == 404
    assert world.store.appended == []


async def test_the_name_a_callback_comes_under_does_not_matter(world: World) -> None:
    async with client(
        world,
        headers={},
        base_url="http://tunnel.example.net",
        api_hosts=frozenset({"api.example.org"}),
        loopback=True,
    ) as http:
        assert (await http.post(target(world), content=b"{}")).status_code == 200


async def test_answers_are_never_kept_by_caches(world: World) -> None:
    for answer in (await post(world, target(world)), await post(world, target(world, "bad"))):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
