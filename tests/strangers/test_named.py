"""Each stranger of the callback door by name, over a socket to a real service: the answers are the interface's."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from receiver.domain.token import Purpose, SigningKey, TokenSigner
from tests.harness import wait_until
from tests.strangers.hostile import ODD_JSON
from tests.strangers.house import House
from tests.strangers.wire import Ask, Heard, chunked, request

MIB = 1024 * 1024
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def bad_paths(house: House) -> dict[str, str]:
    """Every address that is not ours, by what is wrong with it."""
    good = house.token
    foreign = TokenSigner([SigningKey("k1", b"the key of somebody else, 32 b..")], b"i" * 16)
    a_day_from_now = datetime.now(UTC) + timedelta(days=1)
    # The last letter carries two bits of the token; the other four are nobody's.
    same_bytes = good[:-1] + _LETTERS[_LETTERS.index(good[-1]) ^ 1]
    return {
        "none": "/callbacks/runware/",
        "nothing at all": "/callbacks",
        "no provider": f"/callbacks/{good}",
        "forged": house.path(good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB")),
        "forged in its first letter": house.path("B" + good[1:]),
        "truncated": house.path(good[:-1]),
        "too long": house.path(good + "A"),
        "padded": house.path(good + "=="),
        "foreign": house.path(foreign.issue(Purpose.CALLBACK, "runware", uuid4(), a_day_from_now)),
        "expired": house.path(house.issued(lifetime=timedelta(seconds=-5))),
        "percent-encoded": house.path("".join(f"%{ord(letter):02X}" for letter in good)),
        "percent-encoded in one letter": house.path(f"%{ord(good[0]):02x}{good[1:]}"),
        "re-encoded": house.path(same_bytes),
        "for an input": house.path(house.issued(Purpose.INPUT)),
        "for a download": house.path(house.issued(Purpose.DOWNLOAD)),
        "for a download of nobody's": house.path(house.issued(Purpose.DOWNLOAD, "")),
        "for the doctor": house.path(house.issued(Purpose.DOCTOR)),
        "for another provider": house.path(good, "aimlapi"),
        "another provider's": house.path(house.issued(provider="aimlapi")),
        "unknown provider": house.path(good, "nobody"),
        "a slash behind it": house.path() + "/",
        "a slash before it": "/" + house.path(),
        "odd bytes": house.path("%00%ff%fe"),
        "huge": house.path("A" * 20_000),
        "somewhere below": house.path() + "/more",
    }


async def test_every_bad_token_gets_one_and_the_same_404_before_its_body_is_read(house: House) -> None:
    answers: dict[str, bytes] = {}
    for name, path in bad_paths(house).items():
        # Nothing of the announced body is ever sent: an answer that waited for it would not come.
        for extra in ((), ("Expect: 100-continue",)):
            head = request("POST", path, "Content-Length: 1000000", *extra, close=False)
            heard = await house.door.ask(Ask((head,), until_answered=False))
            assert heard.closed, name
            answers[f"{name} {extra}"] = heard.timeless
    assert len(set(answers.values())) == 1, answers
    [answer] = set(answers.values())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\nlocation" not in answer
    assert house.token.encode() not in answer


async def test_looking_with_a_bad_token_is_404_and_with_a_good_one_204(house: House) -> None:
    for method in ("GET", "HEAD"):
        for name, path in bad_paths(house).items():
            heard = await house.door.say(request(method, path))
            assert heard.statuses == [404], (method, name)
        assert (await house.door.say(request(method, house.path()))).statuses == [204]


async def test_the_token_of_another_task_of_ours_is_taken_and_quarantined_when_the_body_names_this_one(
    house: House,
) -> None:
    mine, other, *_ = house.targets
    body = json.dumps({"data": [{"taskType": "audioInference", "taskUUID": other, "audioUUID": str(uuid4())}]})
    heard = await house.door.say(request("POST", house.path(house.targets[mine]), body=body.encode()))
    assert heard.statuses == [200]
    assert await verdict_of_last(house, mine) == "quarantined"


async def test_a_good_token_for_a_task_nobody_knows_is_stored_and_acknowledged(house: House) -> None:
    path = house.path(house.issued(Purpose.CALLBACK))
    assert [(await house.door.say(request("POST", path, body=b"{}"))).statuses for _ in range(2)] == [[200], [200]]


async def verdict_of_last(house: House, task_id: str) -> str:
    """Wait until the last report of a task is judged."""
    found: list[dict[str, object]] = []

    def judged() -> bool:
        found[:] = house.reports(task_id)
        return bool(found) and all(report["verdict"] for report in found)

    await asyncio.to_thread(wait_until, judged, 20, f"the reports of {task_id} are judged")
    return str(found[-1]["verdict"])


DEEP = {
    "lists": b"[" * 90_000,
    "closed lists": b"[" * 40_000 + b"]" * 40_000,
    "objects": b'{"data":' * 50_000,
    "deep below data": b'{"data":[' + b'{"taskUUID":' * 30_000,
}
WIDE = {
    "24 MiB of objects": b"[" + b"{}," * (8 * MIB) + b"{}]",
    "a million members": b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}",
    "few brackets and a long string": b'{"data":"' + b"x" * (20 * MIB) + b'"}',
}


@pytest.mark.parametrize("name", [*DEEP, *WIDE, *ODD_JSON])
async def test_deep_wide_and_odd_json_with_a_good_token_is_stored_acknowledged_and_quarantined(
    house: House, name: str
) -> None:
    task_id = list(house.targets)[1]
    body = {**DEEP, **WIDE, **ODD_JSON}[name]
    before = house.memory()
    heard = await house.door.say(request("POST", house.path(house.targets[task_id]), body=body))
    assert heard.statuses == [200]
    assert heard.body in {b'{"status":"accepted"}', b'{"status":"duplicate"}'}
    assert await verdict_of_last(house, task_id) == "quarantined"
    # Parsed, these 24 MiB are 667 MiB. Received, joined and stored they are held three times at most.
    assert house.memory().peak - before.peak <= 4 * len(body) + 32 * MIB


async def test_a_body_over_the_limit_is_413_at_its_announcement_and_while_it_is_sent(house: House) -> None:
    announced = await house.door.say(request("POST", house.path(), f"Content-Length: {97 * MIB}"))
    assert announced.statuses == [413]
    before = house.memory()
    head = request("POST", house.path(), "Transfer-Encoding: chunked", close=False)
    chunk = chunked([b"x" * MIB]).removesuffix(b"0\r\n\r\n")
    sent = await house.door.ask(Ask((head, *[chunk] * 100)))
    assert sent.statuses == [413]
    assert sent.header("connection") == "close"
    # Twice: what has come, and the room a growing buffer takes.
    assert house.memory().peak - before.peak < 2 * 96 * MIB + 32 * MIB


@pytest.mark.parametrize(
    "filling",
    [b"x-pad: " + b"a" * 1017 + b"\r\n", b"a:b\r\n" * 205, b"a" * 1024, b"x-pad: " + b"a" * 8000],
    ids=["lines", "short lines", "one name without end", "names and values without end"],
)
@pytest.mark.parametrize("beginning", ["a good head", "a bad head", "an address", "trailers"])
async def test_200_mb_of_headers_are_not_taken_in(house: House, beginning: str, filling: bytes) -> None:
    starts = {
        "a good head": request("POST", house.path(), close=False)[:-2],
        "a bad head": request("POST", house.path("x"), close=False)[:-2],
        "an address": b"GET /callbacks/runware/",
        "trailers": request("POST", house.path(), "Transfer-Encoding: chunked", close=False) + b"2\r\n{}\r\n0\r\n",
    }
    before = house.memory()
    piece = filling * 64
    heard = await house.door.ask(Ask((starts[beginning], *[piece] * (200_000_000 // len(piece)))))
    assert set(heard.statuses) <= {400, 404, 431}
    # What the two kernels hold between them is all that ever left.
    assert heard.sent < 20 * MIB
    assert house.memory().peak - before.peak < 8 * MIB


async def test_a_tasks_65th_different_body_is_429_and_its_duplicates_stay_200(house: House) -> None:
    path = house.path(list(house.targets.values())[2])
    answers: list[Heard] = [
        await house.door.say(request("POST", path, body=b'{"number":%d}' % number)) for number in range(65)
    ]
    assert [heard.statuses for heard in answers] == [[200]] * 64 + [[429]]
    again = await house.door.say(request("POST", path, body=b'{"number":63}'))
    assert (again.statuses, again.body) == ([200], b'{"status":"duplicate"}')


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_another_method_is_405_with_a_good_token_alone(house: House, method: str) -> None:
    assert (await house.door.say(request(method, house.path(), body=b"x"))).statuses == [405]
    assert (await house.door.say(request(method, house.path("x"), body=b"x"))).statuses == [404]


async def test_every_purpose_opens_its_own_route_alone(house: House) -> None:
    task = await asyncio.to_thread(house.finished)
    [result] = task["results"]
    audio = f"/v1/tasks/{task['id']}/results/{result['id']}/audio?token="
    download = result["download_url"].partition("?token=")[2]
    assert (await house.door.say(request("GET", audio + download))).statuses == [200]
    tokens: dict[object, str] = {
        **{purpose: house.issued(purpose) for purpose in Purpose},
        "callback of this task": house.token,
        "download of another": house.issued(Purpose.DOWNLOAD, ""),
    }
    for purpose, token in tokens.items():
        assert (await house.door.say(request("GET", audio + token))).statuses == [404], purpose
        opens = purpose in {Purpose.CALLBACK, "callback of this task"}
        assert (await house.door.say(request("GET", house.path(token)))).statuses == [204 if opens else 404], purpose
        assert (await house.door.say(request("GET", f"/inputs/{token}"))).statuses == [404], purpose
    assert (await house.door.say(request("GET", house.path(download)))).statuses == [404]


async def test_our_own_token_and_keys_in_a_callback_are_shown_by_no_route(house: House) -> None:
    task_id, token = list(house.targets.items())[3]
    secrets = house.secrets()
    url = f"{house.stack.service.url}/callbacks/runware/{token}"
    for padding in ("", "x" * 400_000):  # in the database, and in the artifact store
        said = {"errors": [{"code": url, "message": " ".join(secrets), "taskUUID": task_id}], "padding": padding}
        heard = await house.door.say(request("POST", house.path(token), body=json.dumps(said).encode()))
        assert heard.statuses == [200]
    await verdict_of_last(house, task_id)
    shown = [
        house.stack.get(path).text for path in (f"/v1/tasks/{task_id}", f"/v1/tasks/{task_id}/events", "/v1/tasks")
    ]
    raw = [house.stack.get(f"/v1/reports/{report['id']}/raw").text for report in house.reports(task_id)]
    assert len(raw) == 2
    assert all("/callbacks/runware/[redacted]" in text for text in raw)
    assert [secret for secret in secrets for text in (*shown, *raw) if secret in text] == []
