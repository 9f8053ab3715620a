"""A backup is taken while the service works, and what it holds is whole when it is put back."""

import hashlib
import os
import pty
import shlex
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.harness import Stack, balance, running, wait_until
from tests.infra.tools import INFRA

SCRIPT = INFRA / "backup" / "backup.py"


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script as an operator would, with nothing of the receiver in reach."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd="/")


def back_up(stack: Stack, *options: str) -> Path:
    done = call("create", *options, "--data-dir", stack.folder / "data", stack.folder / "backups")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def put_back(stack: Stack, backup: Path, *options: str) -> None:
    """Restore into an empty folder and let the service work there from its next start."""
    target = stack.folder / f"restored-{backup.name}"
    done = call("restore", *options, "--data-dir", target, backup)
    assert done.returncode == 0, done.stderr
    stack.service.environment = {**stack.service.environment, "RECEIVER_DATA_DIR": str(target)}


class Load:
    """Submits one task after the other until the service is gone."""

    def __init__(self, stack: Stack) -> None:
        self.acknowledged: list[str] = []
        self._stack = stack
        self._thread = threading.Thread(target=self._submit)
        self._thread.start()

    def _submit(self) -> None:
        with httpx.Client(timeout=30) as http:
            stack = Stack(self._stack.folder, self._stack.sandbox, self._stack.service, http)
            while True:
                provider = ("runware", "aimlapi")[len(self.acknowledged) % 2]
                try:
                    self.acknowledged.append(stack.submit(provider)["id"])
                except httpx.TransportError:
                    return

    def wait_for(self, count: int) -> list[str]:
        """Wait until so many tasks are acknowledged and return those that are."""
        wait_until(lambda: len(self.acknowledged) >= count, 60, f"{count} tasks are acknowledged")
        return list(self.acknowledged)

    def join(self) -> None:
        self._thread.join(30)


def test_a_backup_under_load_holds_every_task_acknowledged_before_and_each_ends_rightly(tmp_path: Path) -> None:
    # What was sent just before the kill is still being made on a busy machine, and its log names what is finished.
    with running(tmp_path, settings={"RECEIVER_AIMLAPI_LOOKUP_SECONDS": "1,2,4,8,16"}) as stack:
        load = Load(stack)
        before = load.wait_for(24)
        first = stack.wait_for(before[0])
        backup = back_up(stack)
        load.wait_for(len(load.acknowledged) + 12)
        stack.service.kill()
        load.join()
        assert call("verify", backup).returncode == 0

        put_back(stack, backup)
        stack.service.start()
        tasks = {task["id"]: task for task in stack.wait_for_all(seconds=90)}
        assert set(before) <= tasks.keys()
        assert tasks[first["id"]]["results"][0]["artifact"] == first["results"][0]["artifact"]
        # Callbacks that came after the backup are not in it, however long one waits for them.
        found = balance(stack, patience_seconds=0)
        assert (found.claimed_twice, found.ended_twice, found.submitted_twice) == ([], [], [])
        assert (found.without_ledger, found.wrong_audio, found.lost_but_made) == ([], [], [])
        sent = {entry["client_request_id"] or entry["provider_task_id"] for entry in stack.ledger()}
        # Lost is only what was queued when the backup was made and never sent afterwards.
        assert {task["status"] for task in tasks.values() if task["id"] in sent} == {"succeeded"}
        assert {task["status"] for task in tasks.values() if task["id"] not in sent} <= {"lost", "succeeded"}
        assert_every_audio_file_is_whole(stack, tasks.keys())

        later = [entry for entry in stack.ledger() if entry["webhook_url"] and entry["provider_task_id"] not in tasks]
        assert later, "no Runware task was made after the backup"
        answer = stack.http.post(later[0]["webhook_url"], content=b'{"data":[]}')
        assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
        database = Path(stack.service.environment["RECEIVER_DATA_DIR"]) / "receiver.db"
        wait_until(lambda: b'{"data":[]}' in quarantined(database), 30, "the late callback is set aside")
        uncounted = 'receiver_reports_quarantined_total{provider="runware"} 0.0'
        wait_until(lambda: uncounted not in stack.get("/metrics").text, 30, "it is counted")


def quarantined(database: Path) -> list[bytes]:
    statement = "SELECT body FROM reports JOIN rulings ON report_id = reports.id WHERE verdict = 'quarantined'"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return [body for (body,) in connection.execute(statement)]


def assert_every_audio_file_is_whole(stack: Stack, task_ids: object) -> None:
    folder = Path(stack.service.environment["RECEIVER_DATA_DIR"]) / "artifacts"
    for task in stack.tasks():
        for result in task["results"]:
            [path] = folder.rglob(f"{result['artifact']['sha256']}.*")
            assert hashlib.sha256(path.read_bytes()).hexdigest() == result["artifact"]["sha256"]


def test_what_was_queued_at_the_backup_and_sent_since_is_found_and_not_sent_again(tmp_path: Path) -> None:
    with running(tmp_path, serve=False) as stack:
        stack.sandbox.kill()
        stack.service.start()
        tasks = [stack.submit(provider)["id"] for provider in ("aimlapi", "runware", "aimlapi")]
        backup = back_up(stack)
        assert {stack.task(task)["status"] for task in tasks} == {"queued"}
        stack.sandbox.start()
        stack.faults()
        stack.wait_for_all(seconds=60)
        stack.service.kill()
        put_back(stack, backup)
        stack.service.start()
        assert {stack.wait_for(task, seconds=60)["status"] for task in tasks} == {"succeeded"}
        assert Counter(entry["provider"] for entry in stack.ledger()) == {"aimlapi": 2, "runware": 1}
        assert {entry["submits"] for entry in stack.ledger()} == {1}
        # A move to another machine: nothing ran since, so what was queued stays queued.
        stack.service.kill()
        target = Path(stack.service.environment["RECEIVER_DATA_DIR"])
        moved = call("restore", "--nothing-was-sent", "--replace", "--data-dir", target, backup)
        assert moved.returncode == 0, moved.stderr
        assert len(list(target.glob("replaced-*/receiver.db"))) == 1
        with closing(sqlite3.connect(target / "receiver.db")) as connection:
            states = connection.execute("SELECT status, attempt_open_since FROM tasks").fetchall()
        assert states == [("queued", None)] * len(tasks)


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack that has done its work and lies still, with two backups, the older of which is full."""
    with running(tmp_path_factory.mktemp("rested")) as stack:
        assert stack.wait_for(stack.submit("runware", count=2)["id"])["status"] == "succeeded"
        held = call("restore", "--replace", "--data-dir", stack.folder / "data", back_up(stack))
        assert "the receiver runs" in held.stderr
        assert stack.wait_for(stack.submit("runware")["id"])["status"] == "succeeded"
        back_up(stack)
    return stack


def backups(stack: Stack) -> list[Path]:
    return sorted(path for path in (stack.folder / "backups").iterdir() if path.is_dir())


def test_a_backup_is_for_its_owner_alone(rested: Stack) -> None:
    folder = rested.folder / "backups"
    modes = {stat.S_IMODE(path.lstat().st_mode) & 0o077 for path in [folder, *folder.rglob("*")]}
    assert modes == {0}


def test_audio_that_the_last_backup_holds_is_linked(rested: Stack) -> None:
    older, newer = backups(rested)[:2]
    names = [path.relative_to(older) for path in older.glob("artifacts/audio/*/*")]
    assert len(names) == 2
    assert all((older / name).stat().st_ino == (newer / name).stat().st_ino for name in names)
    assert len(list(newer.glob("artifacts/audio/*/*"))) == 3


def test_whoever_watches_is_told_how_to_verify(rested: Stack, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    destination = tmp_path / "the backups"
    command = [
        sys.executable,
        "-I",
        str(SCRIPT),
        "create",
        "--data-dir",
        str(rested.folder / "data"),
        str(destination),
    ]
    try:
        made = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True, timeout=120)
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", 0) as screen:
        told = screen.read(4096).decode().strip()
    label, _, line = told.partition(": ")
    assert label == "look whether it is whole"
    python, *words = shlex.split(line)
    assert (python, words[-1]) == ("python3", made.stdout.strip())
    assert subprocess.run([sys.executable, *words], capture_output=True, check=False, timeout=120).returncode == 0


def test_a_backup_without_the_older_ones_is_whole(rested: Stack, tmp_path: Path) -> None:
    destination = tmp_path / "backups"
    shutil.copytree(rested.folder / "backups", destination)
    done = call("create", "--keep", "1", "--data-dir", rested.folder / "data", destination)
    assert done.returncode == 0, done.stderr
    [newest] = [path for path in destination.iterdir() if path.is_dir()]
    assert call("verify", newest).returncode == 0


@pytest.mark.parametrize("pattern", ["receiver.db", "signing_keys", "artifacts/audio/*/*"])
def test_a_file_that_has_changed_or_is_gone_is_noticed(rested: Stack, tmp_path: Path, pattern: str) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(backups(rested)[-1], backup)
    victim = next(iter(backup.glob(pattern)))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert "is not what was backed up" in call("verify", backup).stderr
    assert call("restore", "--data-dir", tmp_path / "data", backup).returncode == 1
    assert not (tmp_path / "data").exists()
    victim.unlink()
    assert call("verify", backup).returncode == 1


def test_a_file_that_is_named_and_missing_makes_no_backup(rested: Stack, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(rested.folder / "data", data)
    next(iter(data.glob("artifacts/audio/*/*"))).unlink()
    done = call("create", "--data-dir", data, tmp_path / "backups")
    assert done.returncode == 1
    assert "the database names it and it is not there" in done.stderr
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [".lock"]


def test_what_is_there_is_not_overwritten(rested: Stack) -> None:
    done = call("restore", "--data-dir", rested.folder / "data", backups(rested)[-1])
    assert done.returncode == 1
    assert "--replace moves it aside" in done.stderr
