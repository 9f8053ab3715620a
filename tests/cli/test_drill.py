"""The drill as a person starts it: real processes, real kills, and a balance that can be off."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.cli.conftest import Said
from tests.cli.test_application import Typed
from tests.harness import wait_until


@contextmanager
def drill(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", "drill", "--data-dir", str(folder), *arguments],
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


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=240)
    return Said(process.returncode, out, err)


def children(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text("ascii").split()]


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_short_drill_with_kills_and_the_store_away_is_exact_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Were an answer lost, the look-ups alone would take longer than all the rest.
    fast = ["--faults", "lose_submit_answer=0", "--faults", "seconds=0.2,0.5"]
    away = ["--store-outages", "1", "--outage-seconds", "3"]
    with drill(tmp_path / "var", "--kills", "2", "--seed", "3", *fast, *away, "--json") as process:
        said = ended(process)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["exact"] is True
    assert found["ledger_tasks"] == sum(found["matched"].values()) > 0
    assert set(found["must_be_none"].values()) == {0}
    assert found["audio_read_back"] > 0
    assert "kill -9: 2" in found["notes"]
    assert "the artifact store away: 1 × 3 s" in found["notes"]
    assert "The balance is exact: nothing is lost, nothing is paid twice." in said.err
    assert not (tmp_path / "var").exists()


def test_a_task_that_vanishes_meanwhile_is_told_and_the_folder_is_kept(tmp_path: Path) -> None:
    def databases() -> list[Path]:
        return list((tmp_path / "var").glob("drill-*/receiver.db"))

    def done() -> list[tuple[bytes, bytes]]:
        if not databases():
            return []
        try:
            with closing(sqlite3.connect(databases()[0], timeout=30)) as database:
                query = "SELECT key, id FROM tasks WHERE status = 'succeeded' AND provider = 'runware'"
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:  # the tables are not there yet
            return []

    arguments = ["--minutes", "0.1", "--kills", "0", "--faults", "lose_submit_answer=0"]
    with drill(tmp_path / "var", *arguments) as process:
        wait_until(lambda: bool(done()), 120, "a task has succeeded")
        key, task_id = done()[0]
        with closing(sqlite3.connect(databases()[0], timeout=30)) as database, database:
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("DELETE FROM tasks WHERE key = ?", (key,))
        said = ended(process)
    assert said.code == 1
    assert "THE BALANCE IS OFF." in said.out
    assert f"acknowledged_and_gone: {UUID(bytes=task_id)}" in said.out
    assert "billed_but_unknown: " in said.out
    assert str(databases()[0].parent) in said.out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_ends_all_that_it_started_and_leaves_nothing_behind(
    tmp_path: Path, how: signal.Signals
) -> None:
    with drill(tmp_path / "var") as process:
        wait_until(lambda: len(children(process)) == 2, 60, "both processes are started")
        started = children(process)
        os.kill(process.pid, how)
        said = ended(process)
        assert said.code == 1
        assert said.err == "receiver: interrupted\n"
        # One that was just being started ends by itself: its input has ended.
        wait_until(lambda: not any(alive(number) for number in started), 30, "both processes have ended")
    assert not (tmp_path / "var").exists()


def test_a_wrong_fault_is_named_before_anything_starts(receiver: Typed, folder: Path) -> None:
    said = receiver("drill", "--faults", "dropp=0.5")
    assert said.code == 2
    assert "--faults dropp: unknown fault; did you mean drop?" in said.err
    assert list(folder.iterdir()) == []


def test_roles_are_refused_before_anything_starts_where_one_process_does_everything(
    receiver: Typed, folder: Path
) -> None:
    said = receiver("drill", "--roles", "callbacks=2,worker=2,api=1")
    assert said.code == 2
    assert "--roles needs PostgreSQL" in said.err
    assert list(folder.iterdir()) == []
