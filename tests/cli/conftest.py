"""The command line in this process, and a service for it to speak with."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver.cli.application import run
from tests.cli.fake_service import KEY, FakeService, serving


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings or wishes about colour."""
    for name in list(os.environ):
        if re.fullmatch(r"RECEIVER_.*|.*_API_KEY|NO_COLOR|FORCE_COLOR|TTY_COMPATIBLE|COLUMNS|.*_PROXY", name.upper()):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def receiver(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Type a command."""

    def typed(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return typed


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A service that says what the test wants."""
    with serving() as fake:
        yield fake


@pytest.fixture
def here(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """The same, set as the one to speak with."""
    monkeypatch.setenv("RECEIVER_URL", service.url)
    monkeypatch.setenv("RECEIVER_API_KEY", KEY)
    return service
