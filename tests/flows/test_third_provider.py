"""A third provider is one file, one table entry and its recorded payloads, and all else follows.

Lark (``tests/providers/third``) is laid into a copy of the project. There every gate is run, and the service is
started against a Lark on this machine, whose callbacks are signed.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import API_KEY, PROMPT, REFERENCE, Process, Stack, free_port, wait_until
from tests.providers.third.server import KEY, OTHER_SECRET, SECRET, Lark, Song, call, running, signed
from tests.test_house import HOUSE, house_files

THIRD = Path("tests/providers/third")
TABLE = Path("receiver/providers/__init__.py")
FILE = Path("receiver/providers/lark.py")
PAYLOADS = Path("tests/providers/payloads/lark")
#: The entry in the table, as it is and as it becomes: one name among the imports, one in the table.
ENTRY = {
    "from receiver.providers import aimlapi, runware\n": "from receiver.providers import aimlapi, lark, runware\n",
    "(runware.ENTRY, aimlapi.ENTRY)": "(runware.ENTRY, aimlapi.ENTRY, lark.ENTRY)",
}
#: No task waits for this: what is asked about, is asked about for a reason.
FIRST_POLL_SECONDS = "600"
#: The longest first.
GATES: Mapping[str, list[str]] = {
    "types": ["-m", "mypy", "--cache-dir", os.devnull, "-p", "receiver.providers", "-p", "receiver.bootstrap"],
    "contract": ["-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", "lark", "tests/providers/test_contract.py"],
    "house": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_house.py"],
    "lint": ["-m", "ruff", "check", "--no-cache", "receiver/providers", "tests/providers"],
    "format": ["-m", "ruff", "format", "--check", "--no-cache", "receiver/providers", "tests/providers"],
    "architecture": ["-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
}


def digests(folder: Path) -> dict[Path, str]:
    """What lies in a folder; bytecode is nobody's, and kept beside the code it is compiled once."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Project:
    """A copy of the project with Lark in it, what it held before, and how to run it."""

    folder: Path
    before: Mapping[Path, str]
    environment: Mapping[str, str]

    def run(self, arguments: Sequence[str], folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Copy what is or would be committed, then add what a third provider takes, and nothing else."""
    folder, aside = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("aside")
    for path in house_files():
        copy = folder / path.relative_to(HOUSE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    before = digests(folder)
    shutil.copy2(folder / THIRD / "lark.py", folder / FILE)
    shutil.copytree(folder / THIRD / "payloads", folder / PAYLOADS)
    table = (folder / TABLE).read_text("utf-8")
    for old, new in ENTRY.items():
        assert table.count(old) == 1, f"{TABLE} is no longer what this test knows: {old}"
        table = table.replace(old, new)
    (folder / TABLE).write_text(table, "utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(aside / "hypothesis"),
    }
    return Project(folder, before, environment)


@pytest.fixture(scope="module")
def lark() -> Iterator[Lark]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(project: Project, lark: Lark, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder, port = tmp_path_factory.mktemp("service"), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        **project.environment,
        "RECEIVER_PUBLIC_URL": url,
        "RECEIVER_DATA_DIR": str(folder / "data"),
        "RECEIVER_API_KEYS": API_KEY,
        "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{port},{lark.url.removeprefix('http://')}",
        "LARK_API_KEY": KEY,
        "RECEIVER_LARK_URL": f"{lark.url}/v1",
        "RECEIVER_LARK_WEBHOOK_SECRET": SECRET,
        "RECEIVER_LARK_FIRST_POLL_SECONDS": FIRST_POLL_SECONDS,
        "RECEIVER_LARK_LOOKUP_SECONDS": "0.5,1,2,4,8",
    }
    service = Process(
        ["serve", "--host", "127.0.0.1", "--port", str(port)], settings, folder, folder / "service.log", url
    )
    stack = Stack(folder, Process([], {}, folder, folder / "none.log", lark.url), service)
    try:
        service.start()
        yield stack
    finally:
        service.kill()
        stack.http.close()


@pytest.fixture(scope="module")
def gates(project: Project, stack: Stack) -> Iterator[Mapping[str, "Future[subprocess.CompletedProcess[str]]"]]:
    """Run the gates beside the tests of the running service, two at a time; it starts before them, undisturbed."""
    with ThreadPoolExecutor(2) as lanes:
        yield {name: lanes.submit(project.run, arguments, project.folder) for name, arguments in GATES.items()}
        lanes.shutdown(wait=False, cancel_futures=True)


def sung(stack: Stack, lark: Lark) -> Song:
    """Submit, and return the song once its task is acknowledged."""
    song = begun(stack, lark)
    stack.wait_for(song.task_id, "submitted")
    return song


def begun(stack: Stack, lark: Lark) -> Song:
    """Submit, and return the song once Lark has it, whether or not it has answered."""
    task_id = stack.submit("lark")["id"]
    wait_until(lambda: lark.song_of(task_id) is not None, 20, f"lark is asked for {task_id}")
    song = lark.song_of(task_id)
    assert song is not None
    return song


def kept(stack: Stack, song: Song) -> list[dict[str, Any]]:
    """Return the callbacks kept of a song's task, once all of them are ruled on."""

    def reports() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack.get(f"/v1/tasks/{song.task_id}/reports").json()["data"]
        return [report for report in found if report["via"] == "callback"]

    wait_until(lambda: all(report["verdict"] for report in reports()), 20, "every callback is ruled on")
    return reports()


def spoken(said: Mapping[str, object]) -> bytes:
    return json.dumps(said).encode()


def succeeded(stack: Stack, lark: Lark, song: Song, *, via: str) -> dict[str, Any]:
    """Wait for the end and hold the task and its audio against Lark."""
    task = stack.wait_for(song.task_id)
    assert (task["status"], task["provider_task_id"]) == ("succeeded", song.id)
    [result] = task["results"]
    assert result["via"] == via
    assert result["artifact"]["media_type"] == "audio/wav"
    assert stack.get(result["artifact"]["url"]).content == song.audio
    assert [other.id for other in lark.songs.values() if other.task_id == song.task_id] == [song.id]
    return task


# ---------------------------------------------------------------------------------------- against real processes
@pytest.mark.usefixtures("gates")
def test_a_submit_carries_our_id_and_the_request(stack: Stack, lark: Lark) -> None:
    song = sung(stack, lark)
    assert song.asked["prompt"] == PROMPT
    assert song.asked["reference_url"] == REFERENCE
    assert song.callback_url.startswith(f"{stack.service.url}/callbacks/lark/")
    assert stack.task(song.task_id)["provider_task_id"] == song.id


def test_a_signed_callback_settles_its_task_and_its_audio_is_kept(stack: Stack, lark: Lark) -> None:
    song = sung(stack, lark)
    body = spoken(lark.done(song))
    answer = call(song, body, signed(body, at=time.time()))
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    task = succeeded(stack, lark, song, via="callback")
    assert task["cost_usd"] == pytest.approx(0.04)
    again = call(song, body, signed(body, at=time.time() + 1))
    assert (again.status_code, again.json()) == (200, {"status": "duplicate"})
    assert [report["verdict"] for report in kept(stack, song)] == ["settled", "duplicate"]


def forged(body: bytes) -> tuple[bytes, dict[str, str]]:
    return body, signed(body, at=time.time(), secret=OTHER_SECRET)


def old(body: bytes) -> tuple[bytes, dict[str, str]]:
    return body, signed(body, at=time.time() - 400)


def tampered(body: bytes) -> tuple[bytes, dict[str, str]]:
    """The link is another's, under the signature of the genuine body."""
    return body.replace(b"/media/", b"/media/not-"), signed(body, at=time.time())


def unsigned(body: bytes) -> tuple[bytes, dict[str, str]]:
    return body, {}


@pytest.mark.parametrize(
    ("make", "reason"),
    [(forged, "signature"), (old, "timestamp"), (tampered, "signature"), (unsigned, "not signed")],
    ids=["forged", "old", "tampered", "unsigned"],
)
def test_a_callback_that_is_not_genuine_is_kept_and_set_aside_and_the_song_is_found_by_asking(
    stack: Stack, lark: Lark, make: Callable[[bytes], tuple[bytes, dict[str, str]]], reason: str
) -> None:
    song = sung(stack, lark)
    song.told = lark.done(song)
    body, headers = make(spoken(song.told))
    assert call(song, body, headers).status_code == 200
    succeeded(stack, lark, song, via="poll")
    [report] = kept(stack, song)
    assert report["verdict"] == "quarantined"
    assert reason in report["reason"]
    assert stack.get(f"/v1/reports/{report['id']}/raw").content == body
    assert "callback.quarantined" in [event["type"] for event in stack.events(song.task_id)]


def test_a_genuine_callback_with_the_bytes_of_a_forged_one_is_no_repeat(stack: Stack, lark: Lark) -> None:
    song = sung(stack, lark)
    body = spoken(lark.done(song))
    assert call(song, *forged(body)).status_code == 200
    assert [report["verdict"] for report in kept(stack, song)] == ["quarantined"]
    assert stack.task(song.task_id)["results"] == []
    assert call(song, body, signed(body, at=time.time())).json() == {"status": "accepted"}
    succeeded(stack, lark, song, via="callback")
    assert [report["verdict"] for report in kept(stack, song)] == ["quarantined", "settled"]


def test_a_genuine_callback_of_another_song_does_not_settle_this_task(stack: Stack, lark: Lark) -> None:
    song, other = sung(stack, lark), sung(stack, lark)
    song.told = lark.done(song)
    body = spoken(lark.done(other))
    headers = signed(body, at=time.time())
    assert call(song, body, headers).json() == {"status": "accepted"}
    succeeded(stack, lark, song, via="poll")
    [report] = kept(stack, song)
    assert (report["verdict"], other.id in report["reason"]) == ("quarantined", True)
    assert call(other, body, headers).json() == {"status": "accepted"}
    succeeded(stack, lark, other, via="callback")


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_callback_before_the_answer_to_the_submit_is_kept_until_the_answer_tells_whose_it_is(
    stack: Stack, lark: Lark, end: str
) -> None:
    """Lark's id is not known to us before its answer, so what an early callback names cannot be compared yet."""
    lark.answering.clear()
    try:
        song = begun(stack, lark)
        error = {"code": "overloaded", "message": "too many songs"}
        failed: dict[str, object] = {"id": song.id, "status": "failed", "error": error}
        song.told = lark.done(song) if end == "succeeded" else failed
        body = spoken(song.told)
        assert call(song, body, signed(body, at=time.time())).status_code == 200
        assert len(kept(stack, song)) == 1
        assert stack.task(song.task_id)["status"] == "queued"
    finally:
        lark.answering.set()
    if end == "succeeded":
        succeeded(stack, lark, song, via="poll")
    else:
        task = stack.wait_for(song.task_id)
        assert (task["status"], task["errors"][0]["code"]) == ("failed", "provider")


@pytest.mark.parametrize("called_back", [False, True])
def test_a_submit_whose_answer_was_lost_is_found_in_the_list_and_not_sent_again(
    stack: Stack, lark: Lark, called_back: bool
) -> None:
    lark.fate, before = "unheard", lark.submits
    try:
        song = begun(stack, lark)
        song.told = lark.done(song)
        body = spoken(song.told)
        assert not called_back or call(song, body, signed(body, at=time.time())).status_code == 200
        task = stack.wait_for(song.task_id)
    finally:
        lark.fate = "answered"
    assert task["results"]
    succeeded(stack, lark, song, via=task["results"][0]["via"])
    assert "task.unknown" in [event["type"] for event in stack.events(song.task_id)]
    assert lark.submits == before + 1


def test_a_submit_that_never_arrived_is_lost_and_not_sent_again(stack: Stack, lark: Lark) -> None:
    lark.fate, before = "dropped", lark.submits
    try:
        task = stack.wait_for(stack.submit("lark")["id"])
    finally:
        lark.fate = "answered"
    assert task["status"] == "lost"
    assert [event["type"] for event in stack.events(task["id"])].count("attempt.made") == 1
    assert lark.submits == before + 1


# ---------------------------------------------------------------------------------------- the settings and the gates
def settings(project: Project, **variables: str) -> "subprocess.CompletedProcess[str]":
    return project.run(["-m", "receiver", "settings", "--json"], project.folder.parent, **variables)


def test_its_options_are_settings(project: Project) -> None:
    answer = settings(project, LARK_API_KEY=KEY, RECEIVER_LARK_WEBHOOK_SECRET=SECRET, RECEIVER_LARK_POLL_SECONDS="9")
    assert answer.returncode == 0, answer.stderr
    assert SECRET not in answer.stdout
    shown = {setting["name"]: setting for setting in json.loads(answer.stdout)}
    names = ["url", "media_hosts", "webhook_secret", "first_poll_seconds", "poll_seconds", "lookup_seconds"]
    names.append("requests_per_second")
    assert {name for name in shown if "LARK" in name} == {
        "LARK_API_KEY",
        *(f"RECEIVER_LARK_{name.upper()}" for name in names),
    }
    assert shown["RECEIVER_LARK_POLL_SECONDS"]["value"] == "9"
    assert shown["LARK_API_KEY"]["value"] == "[set]"
    assert shown["RECEIVER_LARK_WEBHOOK_SECRET"]["value"] == "[set]"


def test_a_misspelt_option_is_refused_with_the_nearest_there_is(project: Project) -> None:
    answer = settings(project, RECEIVER_LARK_POLL_SECOND="9")
    assert answer.returncode != 0
    assert "did you mean RECEIVER_LARK_POLL_SECONDS?" in " ".join(answer.stderr.split())


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_is_green_with_it(
    gates: Mapping[str, "Future[subprocess.CompletedProcess[str]]"], gate: str
) -> None:
    answer = gates[gate].result()
    assert answer.returncode == 0, f"{answer.stdout[-6000:]}\n{answer.stderr[-2000:]}"
    if gate == "contract":
        assert answer.stdout.count("PASSED") >= 50
        assert "SKIPPED" not in answer.stdout


def test_one_file_one_entry_and_its_payloads_are_all_that_was_added(
    project: Project, gates: Mapping[str, "Future[subprocess.CompletedProcess[str]]"]
) -> None:
    """Last, so that what the gates would leave behind is seen too."""
    wait(gates.values())
    after = digests(project.folder)
    changed = {path for path in after if project.before.get(path) != after[path]}
    assert project.before.keys() <= after.keys()
    assert {path for path in changed if not path.is_relative_to(PAYLOADS)} == {TABLE, FILE}
