"""Providers, tasks, answers and recorded payloads for the tests of this folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from receiver.domain.exchange import HttpAnswer
from receiver.domain.request import InlineAudio, TaskRequest
from receiver.domain.task import Task
from receiver.lifecycle.ports.provider import Provider
from receiver.providers import PROVIDERS

PAYLOADS = Path(__file__).parent / "payloads"
KEY = "kEy-that-nobody-may-see-0123456789"
RUNWARE_TASK = UUID("6f1c2f0e-6c5f-4a0b-9a55-0d7d3b1c9e01")
GENERATION = "Vx9_kT2-exampleGen001"
CALLBACK_URL = "https://hooks.example.org/callbacks/runware/token"
REFERENCE = "https://files.example.org/in.mp3"
INLINE = InlineAudio("inputs/one", "0" * 64, 1000)
PROMPT = "bossa nova, nylon guitar, brushed drums"
LYRICS = "[Verse]\na line that is our own"


def provider(name: str, **options: str) -> Provider:
    entry = PROVIDERS[name]
    return entry.build({option.name: option.default for option in entry.options} | options, KEY)


def request(name: str, **fields: object) -> TaskRequest:
    wanted = TaskRequest(provider=name, prompt=PROMPT, reference_audio=REFERENCE)
    return replace(wanted, **fields)  # type: ignore[arg-type] # the tests give each field its own type


def task(wanted: TaskRequest) -> Task:
    return Task(
        key=RUNWARE_TASK,
        id=RUNWARE_TASK,
        request=wanted,
        model=wanted.model or "",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        deadline_seconds=1800,
    )


def checked_task(name: str, **fields: object) -> Task:
    checked = provider(name).check(request(name, **fields))
    assert checked.problems == ()
    return task(checked.request)


def answer(status: int, body: bytes | object, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, raw)


@dataclass(frozen=True)
class Payload:
    """A recorded body and what is expected of it."""

    provider: str
    folder: str
    name: str
    body: bytes
    expected: dict[str, object]

    def __str__(self) -> str:
        return "/".join(part for part in (self.provider, self.folder, self.name) if part)


def payloads(folder: str = "") -> list[Payload]:
    """Every recorded payload of every provider; ``folder`` is "" (reports), "submit" or "poll"."""
    found = []
    for name in PROVIDERS:
        for path in sorted((PAYLOADS / name / folder).glob("*.expected.json")):
            stem = path.name.removesuffix(".expected.json")
            [body] = [other for other in path.parent.glob(f"{stem}.*") if other != path]
            expected = json.loads(path.read_text("utf-8"))
            found.append(Payload(name, folder, stem, body.read_bytes(), expected))
    return found
