"""No room on the disk, a database that takes no writes, a folder that is away: told, waited for, nothing lost."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.flows.weather import Weather, weather
from tests.harness import Stack, balance, basic, free_port, wait_until

#: The log and what SQLite writes in place fit below; whatever makes a file longer than that is refused.
SMALL_FILE = 64 * 1024
MIB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own below ``folder``, of ``size`` bytes."""
    place = folder / "disk"
    place.mkdir(parents=True)
    mounted = _mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place))
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        return subprocess.CompletedProcess([], 1, "", "that takes root and mount(8)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def fill(place: Path) -> Path:
    """Take all the room there is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


@contextmanager
def no_longer_files(stack: Stack) -> Iterator[None]:
    """Refuse the running service whatever makes a file longer than a little: EFBIG in place of ENOSPC."""
    assert stack.service.child is not None
    pid, (_, hard) = stack.service.child.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALL_FILE, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def full(sky: Weather) -> Iterator[None]:
    filler = fill(sky.stack.folder / "disk")
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def limited(sky: Weather) -> Iterator[None]:
    with no_longer_files(sky.stack):
        yield


@contextmanager
def read_only(sky: Weather) -> Iterator[None]:
    """Make the writer lose its connection; every new one may only read."""
    with no_longer_files(sky.stack):
        sky.change(replace(sky.sky, read_only=True))
        assert sky.stack.post("/v1/tasks", basic("runware")).status_code == 503
    try:
        yield
    finally:
        sky.change(replace(sky.sky, read_only=False))


def in_flight(stack: Stack) -> list[str]:
    ids = [stack.submit(provider)["id"] for provider in ("runware", "aimlapi")]
    for task_id in ids:
        stack.wait_for(task_id, "submitted")
    return ids


def answered(stack: Stack) -> set[int]:
    """Return what the provider's callbacks were answered with."""
    return {call["status_code"] for entry in stack.ledger() for call in entry["callbacks"]}


def scratch(folder: Path) -> list[Path]:
    return list((folder / ".scratch").iterdir())


@pytest.mark.parametrize(
    ("way", "reason", "detail"),
    [
        (full, "database or disk is full", "Our storage is full"),
        (limited, "disk I/O error", "We cannot do this now"),
        (read_only, "attempt to write a readonly database", "Our storage is read-only"),
    ],
    ids=["full", "limited", "read-only"],
)
def test_a_database_that_cannot_be_written_to(
    tmp_path: Path, way: Callable[[Weather], AbstractContextManager[None]], reason: str, detail: str
) -> None:
    with small_disk(tmp_path, 8 * MIB) if way is full else _here(tmp_path) as place:
        settings = {"RECEIVER_DATA_DIR": str(place / "data")}
        with weather(tmp_path, settings=settings) as sky:
            stack = sky.stack
            # Two tries of a callback are all that the provider makes; what they miss has to be asked for.
            stack.faults(seconds=[2, 2], callback_attempts=2)
            ids = in_flight(stack)
            with way(sky):
                wait_until(lambda: all(entry["status"] == "success" for entry in stack.ledger()), 20, "both are made")
                wait_until(lambda: bool(answered(stack)), 20, "the provider has called")
                assert answered(stack) == {503}
                refused = stack.post("/v1/tasks", basic("runware"))
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
                assert refused.headers["Content-Type"] == "application/problem+json"
                assert refused.json()["detail"].startswith(detail)
                assert stack.http.get(f"{stack.service.url}/healthz").status_code == 200
                ready = stack.http.get(f"{stack.service.url}/readyz")
                assert (ready.status_code, ready.headers["Retry-After"]) == (503, "5")
                shown = sky.cli("tasks")
                for task_id in ids:
                    line = next(line for line in shown.splitlines() if line.startswith(task_id))
                    assert f"our own database takes nothing ({reason}); it is tried again and again" in line
                assert scratch(place / "data" / "artifacts") == []
            assert {stack.wait_for(task_id, seconds=30)["status"] for task_id in ids} == {"succeeded"}
            wait_until(lambda: stack.http.get(f"{stack.service.url}/readyz").status_code == 200, 10, "ready again")
            # What was refused was not kept in part.
            exact = balance(stack)
            exact.assert_exact()
            assert (exact.ledger_tasks, sum(exact.statuses.values())) == (2, 2)
            assert scratch(place / "data" / "artifacts") == []
            sky.assert_calm_log()
            wait_until(lambda: "store_available" in said(sky), 10, "the end of it is told")
            assert (said(sky)["store_unavailable"], said(sky)["store_available"]) == (1, 1)


def said(sky: Weather) -> Counter[object]:
    return Counter(line.get("event") for line in sky.log())


@contextmanager
def _here(folder: Path) -> Iterator[Path]:
    yield folder


@contextmanager
def no_room(store: Path) -> Iterator[None]:
    """Nothing but a few kilobytes is left for audio."""
    assert not _mount("-o", "remount,size=16k", str(store)).returncode
    try:
        yield
    finally:
        assert not _mount("-o", f"remount,size={16 * MIB}", str(store)).returncode


@contextmanager
def moved_away(store: Path) -> Iterator[None]:
    elsewhere = store.with_name("elsewhere")
    store.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(store)


@contextmanager
def replaced_by_a_file(store: Path) -> Iterator[None]:
    with moved_away(store):
        store.write_bytes(b"")
        try:
            yield
        finally:
            store.unlink()


@contextmanager
def emptied(store: Path) -> Iterator[None]:
    """Removed with all that is in it, and later made anew by a person."""
    shutil.rmtree(store)
    try:
        yield
    finally:
        store.mkdir()


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (no_room, "No space left on device"),
        (replaced_by_a_file, "Not a directory"),
        (emptied, "No such file or directory"),
    ],
)
def test_audio_that_cannot_be_kept(
    tmp_path: Path, way: Callable[[Path], AbstractContextManager[None]], reason: str
) -> None:
    disk = small_disk(tmp_path, 16 * MIB) if way is no_room else _here(tmp_path / "artifacts")
    with disk as store, weather(tmp_path, settings={"RECEIVER_ARTIFACT_STORE_URL": str(store)}) as sky:
        stack = sky.stack
        stored = "" if way is emptied or way is no_room else stack.wait_for(stack.submit("runware")["id"])["id"]
        with way(store):
            ids = [stack.submit(provider)["id"] for provider in ("runware", "aimlapi")]
            for task_id in ids:
                wait_until(partial(troubled, stack, task_id), 20, "its audio could not be kept")
            shown = sky.cli("tasks")
            for task_id in ids:
                line = next(line for line in shown.splitlines() if line.startswith(task_id))
                assert " collecting " in line
                assert f"fetching its audio did not work: our disk: {reason}, next try " in line
            if stored:
                # Away is not gone: whoever asks for it is to come again.
                [result] = stack.task(stored)["results"]
                assert stack.get(result["artifact"]["url"]).status_code == 503
        sky.pass_time(130)
        for task_id in ids:
            # An attempt that was under way when the clock jumped keeps its claim for as long as claims last.
            assert stack.wait_for(task_id, seconds=300)["status"] == "succeeded"
        balance(stack).assert_exact()
        assert scratch(store) == []
        sky.assert_calm_log()


def troubled(stack: Stack, task_id: str) -> bool:
    task = stack.task(task_id)
    return task["status"] == "collecting" and "did not work" in (task["waiting"] or {}).get("message", "")


# ---------------------------------------------------------------------------------------------------- at the start
@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a service that has run and was killed."""
    folder = tmp_path_factory.mktemp("used")
    with weather(folder) as sky:
        sky.stack.wait_for(sky.stack.submit("runware")["id"])
        sky.stack.service.kill()
        return folder / "data"


def serve(data: Path) -> "subprocess.CompletedProcess[str]":
    port = free_port()
    return subprocess.run(
        [sys.executable, "-m", "receiver", "serve", "--port", str(port), "--data-dir", str(data)],
        env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def deleted(database: Path) -> None:
    database.unlink()


def no_database(database: Path) -> None:
    _without_log(database)
    database.write_bytes(b"this is no database, whatever its name says" * 1000)


def _without_log(database: Path) -> None:
    """Move the log into the database, or it would mend what is done to that."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.with_name(f"{database.name}-wal").unlink(missing_ok=True)


def damaged(database: Path) -> None:
    """The page of the schema is unreadable."""
    _without_log(database)
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3900)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (deleted, ["is gone", "put it back from a backup", "begin anew"]),
        (no_database, ["file is not a database", "restore a backup"]),
        (damaged, ["malformed", "restore a backup"]),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_and_what_to_do(
    used: Path, tmp_path: Path, harm: Callable[[Path], None], words: list[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(used, data)
    [database] = [path for path in data.iterdir() if path.suffix in {".db", ".sqlite", ".sqlite3"}]
    harm(database)
    ended = serve(data)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    told = " ".join(ended.stderr.split())
    assert database.name in told
    for word in words:
        assert word in told


def test_a_data_folder_that_is_read_only_is_named_and_what_to_do(used: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(used, data)
    mounted = os.geteuid() == 0
    if mounted:
        # For root only a file system can be read-only.
        if _mount("--bind", str(data), str(data)).returncode or _mount("-o", "remount,bind,ro", str(data)).returncode:
            pytest.skip("no file system can be mounted here")
    else:
        data.chmod(0o500)
    try:
        ended = serve(data)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(data)], check=True)
        else:
            data.chmod(0o700)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    told = " ".join(ended.stderr.split())
    assert "is not readable and writable for this user" in told
    assert "--data-dir" in told
