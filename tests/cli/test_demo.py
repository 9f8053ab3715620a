"""The demo as a person starts it: one command, real processes, nothing mocked."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_local import is_free, port_of

_URL = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    text = ""
    while words not in text:
        line = process.stdout.readline()
        if not line:
            pytest.fail(text + (process.stderr.read() if process.stderr else ""))
        text += line
    return text


def all_free(urls: list[str], *, within_seconds: float = 0.0) -> bool:
    end = time.monotonic() + within_seconds
    while not all(is_free(port_of(url)) for url in urls):
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True


def files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in (folder / "artifacts" / "audio").glob("*/*")}


def test_every_cover_arrives_whatever_the_surroundings_say_and_a_second_demo_may_follow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_ULR", "misspelt")
    monkeypatch.setenv("RECEIVER_RUNWARE_URL", "https://user.example/v1")
    monkeypatch.setenv("RUNWARE_API_KEY", "the-users-own")
    (folder / ".env").write_text("RECEIVER_AIMLAPI_URL=https://user.example\nRECEIVER_NONSENSE=1\n")
    with demo("--json", "--data-dir", "shown") as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    tasks: list[dict[str, Any]] = json.loads(out)["tasks"]
    assert out.count("\n") == 1
    assert [(task["provider"], task["status"], len(task["results"])) for task in tasks] == [
        ("runware", "succeeded", 1),
        ("runware", "succeeded", 2),
        ("aimlapi", "succeeded", 1),
    ]
    results = [result for task in tasks for result in task["results"]]
    assert [result["via"] for result in results] == ["callback", "callback", "callback", "poll"]
    kept = files(folder / "shown")
    assert {result["artifact"]["sha256"] for result in results} == set(kept)
    for name, path in kept.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name
    assert all_free(_URL.findall(err))
    assert "the-users-own" not in "".join(path.read_text() for path in (folder / "shown" / "logs").iterdir())

    with demo("--data-dir", "shown") as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert err == ""
    rows = [line.split() for line in out.splitlines() if line.split()[3:4] in (["callback"], ["poll"])]
    assert len(rows) == 4
    assert {row[2] for row in rows} == {"succeeded"}
    assert all(Path(row[-1]).is_file() for row in rows)
    assert out.endswith(f"\nWhen you are done, delete the folder {folder / 'shown'}\n")
    assert len(files(folder / "shown")) == 8
    assert all_free(_URL.findall(out))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kept_it_goes_on_serving_until_it_is_told_to_end(folder: Path, number: signal.Signals) -> None:
    with demo("--keep", "--data-dir", "shown") as process:
        said = said_until(process, "Try: ")
        url = _URL.findall(said)[-1]
        key = (folder / "shown" / "api_key").read_text().strip()
        assert str(folder / "shown" / "api_key") in said
        assert key not in said
        listed = httpx.get(f"{url}/v1/tasks", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        assert len(listed.json()["data"]) == 3
        process.send_signal(number)
        assert process.wait(timeout=120) == 0
        assert all_free(_URL.findall(said))


def test_killed_it_takes_its_processes_along(folder: Path) -> None:
    with demo("--keep", "--data-dir", "shown") as process:
        urls = _URL.findall(said_until(process, "Try: "))
        process.kill()
        assert all_free(urls, within_seconds=20)


def test_out_of_time_it_says_so_and_where_the_logs_are(folder: Path) -> None:
    with demo("--json", "--timeout", "1", "--data-dir", "shown") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the demo was not done within 1 s" in err
    assert str(folder / "shown" / "logs") in err
    assert set(json.loads(out)) == {"tasks"}
    assert all_free(_URL.findall(err))
