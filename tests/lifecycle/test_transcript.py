"""What is kept of a submit is what went out, letter for letter, but for what opens something."""

import base64
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from receiver.domain.attempt import Attempt
from receiver.domain.exchange import HttpAnswer, HttpRequest
from receiver.domain.request import TaskRequest
from receiver.lifecycle import erase, submit, transcript
from receiver.lifecycle.ports import Outbound, TaskFilter
from receiver.lifecycle.reception import Reception
from receiver.lifecycle.standings import OwnStandings
from tests.lifecycle.studio import MODELS, Providers, Studio, studio
from tests.lifecycle.upkeep import song

LINK = "https://files.example.org/a.mp3"
SIGNED = f"{LINK}?signature=sign-sign-sign#part"


@dataclass
class Wire:
    """Passes on what goes out, and keeps it."""

    providers: Providers
    went: list[HttpRequest] = field(default_factory=list)
    answer: bytes = b""

    async def send(self, provider: str, request: HttpRequest) -> HttpAnswer:
        self.went.append(request)
        answer = await self.providers.send(provider, request)
        headers = {"content-type": "application/json", "set-cookie": "a=secret-cookie"}
        return replace(answer, headers=headers, body=self.answer or answer.body)


async def sent(studied: Studio, wire: Wire, asked: TaskRequest) -> Attempt:
    """Have something submitted; return what is kept of it."""
    ports = studied.ports = replace(studied.ports, outbound=cast("Outbound", wire))
    task, _ = await submit.intend(ports, submit.Asked(asked))
    for leased in await submit.lease(ports, ports.providers[asked.provider], 1):
        reception = Reception(asked.provider, OwnStandings(ports.system), ports.limits.lease)
        await submit.submit(ports, leased, reception, lambda _: None)
    attempt = await ports.store.insight.attempt(task.id, 1)
    assert attempt is not None
    assert await ports.store.insight.on_the_wire(task.id) == {1}
    return attempt


def asked(provider: str, reference: str = LINK) -> TaskRequest:
    return TaskRequest(provider, "a prompt long enough", reference, model=MODELS[provider])


def body_of(kept: bytes | None) -> object:
    assert kept is not None
    return json.loads(kept.partition(b"\n\n")[2])


@pytest.mark.parametrize("provider", ["runware", "aimlapi"])
async def test_what_is_kept_is_what_went_out_but_for_what_opens_something(tmp_path: Path, provider: str) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        wire = Wire(studied.providers)
        request = replace(asked(provider, SIGNED), provider_options={"extra": "x"})
        attempt = await sent(studied, wire, request)
    [went] = wire.went
    masked = json.dumps(json.loads(went.body or b"")).replace(SIGNED, f"{LINK}?[redacted]")
    was = json.loads(masked)
    if provider == "runware":
        assert "/callbacks/runware/AQ" in was[0]["webhookURL"]
        was[0]["webhookURL"] = "https://hooks.example.org/callbacks/runware/[redacted]"
    assert body_of(attempt.sent) == was
    head = (attempt.sent or b"").partition(b"\n\n")[0].decode().splitlines()
    assert head[0] == f"POST {went.url}"
    assert "Authorization: [redacted]" in head
    assert len(head) == 1 + len(went.headers)
    assert (attempt.answered or b"").startswith(b"HTTP 200\ncontent-type: application/json\n\n{")
    for secret in (b"a-key-of-nobody", b"sign-sign", b"secret-cookie", b"AQ"):
        assert secret not in (attempt.sent or b"") + (attempt.answered or b"")


async def test_audio_in_a_request_is_kept_as_its_size_and_long_words_are_cut(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        wire = Wire(studied.providers, answer=b'{"id":"x","status":"queued","words":"' + b"w" * 100_000 + b'"}')
        audio = base64.b64encode(song()).decode()
        attempt = await sent(studied, wire, asked("aimlapi", audio))
        assert audio.encode() in (wire.went[0].body or b"")
        assert f"[{len(audio)} characters of base64, sha256 ".encode() in (attempt.sent or b"")
        long = {f"option-{number}": "w" * 1000 for number in range(60)}
        attempt = await sent(studied, wire, replace(asked("aimlapi"), provider_options=long))
    assert len(attempt.sent or b"") == len(attempt.answered or b"") == transcript.MOST_KEPT


async def test_what_went_over_the_wire_is_erased_with_its_task(tmp_path: Path) -> None:
    async with studio(tmp_path, lambda: 1.0) as studied:
        await sent(studied, Wire(studied.providers), asked("aimlapi"))
        ports = studied.ports
        [task] = await ports.store.tasks(TaskFilter())
        await erase.erase_task(ports, task.id)
        assert await ports.store.insight.on_the_wire(task.id) == set()
        attempt = await ports.store.insight.attempt(task.id, 1)
        assert attempt is not None
        assert (attempt.sent, attempt.answered, attempt.detail) == (None, None, None)
