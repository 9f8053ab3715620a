"""The commands of this machine: settings, keys, migrate, and the two that serve, as real processes."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.sandbox.faults import fault_options
from tests.cli.conftest import Said
from tests.cli.fake_service import KEY
from tests.harness import running as stack_running

Typed = Callable[..., Said]


@contextmanager
def running(*arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """A command as a process of its own, ended in any case."""
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line and process.stderr is not None:
        pytest.fail(process.stderr.read())
    said: dict[str, Any] = json.loads(line)
    return said


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return out, err


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_says_which_settings_to_make_and_ends_well(number: signal.Signals) -> None:
    with running("sandbox", "--port", "0", "--json", "--time-scale", "0.01", "--seed", "7") as process:
        said = first_line(process)
        url = said["url"]
        assert said["seed"] == 7
        assert said["settings"] == {
            "RECEIVER_RUNWARE_URL": f"{url}/runware/v1",
            "RECEIVER_AIMLAPI_URL": f"{url}/aimlapi",
            "RECEIVER_PUBLIC_URL": "http://127.0.0.1:8080",
            "RECEIVER_ALLOWED_PRIVATE_HOSTS": f"{url.removeprefix('http://')},127.0.0.1:8080",
            "RUNWARE_API_KEY": "sandbox",
            "AIMLAPI_API_KEY": "sandbox",
            "RECEIVER_AIMLAPI_POLL_SECONDS": "1",
        }
        assert httpx.get(f"{url}/_sandbox/ledger", trust_env=False).json() == {"tasks": []}
        out, err = stopped(process, number)
        assert (process.returncode, out, err) == (0, "", "")
        assert is_free(port_of(url))


def test_the_sandbox_says_lines_that_can_be_pasted_and_draws_a_seed() -> None:
    seeds = set()
    for _ in range(2):
        with running("sandbox", "--port", "0") as process:
            assert process.stdout is not None
            text = ""
            while "_sandbox/ledger" not in text:
                text += process.stdout.readline()
        [place] = re.findall(r"listens on http://(\S+)", text)
        assert f"\nexport RECEIVER_RUNWARE_URL=http://{place}/runware/v1\n" in text
        assert "\nexport RECEIVER_PUBLIC_URL=http://127.0.0.1:8080\n" in text
        assert f"\nexport RECEIVER_ALLOWED_PRIVATE_HOSTS={place},127.0.0.1:8080\n" in text
        assert "--time-scale" in text
        seeds |= set(re.findall(r"Its seed is (\d+)\.", text))
    assert len(seeds) == 2


def test_the_sandbox_takes_its_faults_from_flags() -> None:
    flags = ["--drop", "1", "--seconds", "2,4", "--body", "flat", "--extra-fields", "--no-cost-headers"]
    with running("sandbox", "--port", "0", "--json", *flags) as process:
        faults = httpx.get(f"{first_line(process)['url']}/_sandbox/faults", trust_env=False).json()
    assert faults["drop"] == 1.0
    assert faults["seconds"] == [2.0, 4.0]
    assert faults["body"] == "flat"
    assert faults["extra_fields"] is True
    assert faults["cost_headers"] is False
    assert faults["stall"] == 0.0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--stall", "2", "--body", "x"], ["--stall must be a share", "--body must be one of wrapped, flat"]),
        (["--seconds", "4,2"], ["--seconds must be two numbers"]),
        (["--stal", "1"], ["--stal"]),
        (["--port", "70000"], ["--port"]),
    ],
)
def test_a_fault_that_is_none_is_a_usage_error(receiver: Typed, flags: list[str], words: list[str]) -> None:
    said = receiver("sandbox", "--port", "0", *flags)
    assert said.code == 2
    assert all(word in said.err for word in words)


def test_every_fault_of_the_sandbox_is_a_flag_with_its_meaning(receiver: Typed) -> None:
    text = " ".join(receiver("sandbox", "--help").out.split())
    for option in fault_options():
        assert f"--{option.name.replace('_', '-')}" in text


@pytest.mark.parametrize("command", ["sandbox", "serve"])
def test_a_port_that_is_taken_is_said_in_a_line(receiver: Typed, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(command, "--port", str(port)) as process:
            _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert str(port) in err
    assert "Traceback" not in err
    assert err.splitlines()[0].startswith("receiver: ")


def test_a_process_that_somebody_started_ends_with_its_input() -> None:
    with running("sandbox", "--port", "0", "--json", "--until-input-ends", stdin=subprocess.PIPE) as process:
        url = first_line(process)["url"]
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=120) == 0
        assert is_free(port_of(url))


def test_serve_says_where_everything_is_and_never_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "a-secret-of-runware")
    with running("serve", "--port", "0", "--data-dir", "data") as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(9)]
        url = said[0].split()[-1]
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        out, err = stopped(process, signal.SIGTERM)
    key = (folder / "data" / "api_key").read_text().strip()
    assert process.returncode == 0
    text = " ".join(" ".join(said).split())
    assert f"data {folder / 'data'} " in text
    assert f"API key {folder / 'data' / 'api_key'} " in text
    assert "RECEIVER_PUBLIC_URL is not set: Runware tasks carry no webhookURL and are polled" in text
    assert "runware has a key" in text
    assert "aimlapi no AIMLAPI_API_KEY, so it takes no tasks" in text
    assert out == ""
    for secret in (key, key.partition(":")[2], "a-secret-of-runware"):
        assert secret not in "".join(said) + err
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700


def test_everything_is_for_its_owner_alone_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o000)
    try:
        with stack_running(folder / "stack") as stack:
            # Audio within the callback: the body is put into the folder of the audio.
            task = stack.submit("runware", output_type="base64Data")
            stack.wait_for(task["id"], "succeeded")
            found = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder / "stack" / "data").rglob("*")}
            assert stack.service.child is not None
            status = Path(f"/proc/{stack.service.child.pid}/status").read_text("utf-8")
    finally:
        os.umask(before)
    # What is only there for a moment, too.
    assert re.search(r"^Umask:\t0077$", status, re.MULTILINE)
    assert {"receiver.db", "receiver.db-wal", "signing_keys", "artifacts"} <= {path.name for path in found}
    assert any(path.is_file() and "artifacts" in path.parts for path in found)
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o600}
    assert stat.S_IMODE((folder / "stack" / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("short", ["b:0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcde", "b:"])
def test_a_key_that_could_be_guessed_is_refused_by_its_number_and_not_shown(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    monkeypatch.setenv("RECEIVER_API_KEYS", f"{KEY},{short}")
    said = receiver("serve", "--port", "0")
    assert (said.code, said.out) == (1, "")
    assert "RECEIVER_API_KEYS: the secret of key 2 has fewer than 32 characters" in said.err
    assert short not in said.err
    assert KEY not in said.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECEIVER_PUBLIC_URL", "http://hooks.example.org"),
        ("RECEIVER_RUNWARE_URL", "nowhere"),
        ("RECEIVER_AIMLAPI_POLL_SECONDS", "soon"),
        ("RECEIVER_DATABASE_URL", "oracle://x"),
        ("RECEIVER_ARTIFACT_STORE_URL", "ftp://x"),
        ("RECEIVER_API_KEYS", "short"),
        ("RECEIVER_ALLOWED_PRIVATE_HOSTS", "a/b"),
        ("RECEIVER_STOP_SECONDS", "soon"),
    ],
)
def test_a_start_that_a_setting_forbids_names_it_and_leaves_nothing_behind(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    said = receiver("serve", "--port", "0")
    assert (said.code, said.out) == (1, "")
    assert name in said.err
    assert "api_key_made" not in said.err
    assert not (folder / "var").exists()


def test_serve_as_json_is_one_line_and_the_logs_go_to_standard_error(folder: Path) -> None:
    with running("serve", "--port", "0", "--json") as process:
        said = first_line(process)
        out, err = stopped(process, signal.SIGINT)
    assert process.returncode == 0
    assert said["data_dir"] == str(folder / "var")
    assert said["api_key_file"] == str(folder / "var" / "api_key")
    assert out == ""
    assert "started" in err


def test_on_a_terminal_the_banner_stands_above_the_logs_and_ctrl_c_says_stopped() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        text = ""
        try:
            while '"started"' not in text:
                text += os.read(screen.fileno(), 4096).decode()
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # how the end of a terminal is told
                while more := os.read(screen.fileno(), 4096).decode():
                    text += more
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()
            process.wait()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "").split("\n")
    gap = lines.index("")
    assert lines[0].startswith("The receiver listens on http://")
    assert all(line.startswith("  ") for line in lines[1:gap])
    assert all(json.loads(line) for line in lines[gap + 1 : -3])
    assert lines[-3:] == ["", "stopped", ""]


def test_a_second_service_on_a_folder_names_the_first() -> None:
    with running("serve", "--port", "0", "--json", "--data-dir", "data") as process:
        folder = first_line(process)["data_dir"]
        with running("serve", "--port", "0", "--data-dir", "data") as second:
            _, err = second.communicate(timeout=120)
        assert second.returncode == 1
        assert f"process {process.pid} already serves the data folder {folder}\n" in err
        assert "PostgreSQL" not in err


@pytest.mark.parametrize("roles", [["callbacks"], ["api", "worker"], ["all", "api"]])
def test_on_sqlite_any_role_but_all_is_a_usage_error(receiver: Typed, folder: Path, roles: list[str]) -> None:
    said = receiver("serve", "--port", "0", *[part for role in roles for part in ("--role", role)])
    assert said.code == 2
    assert "roles need PostgreSQL" in said.err
    assert list(folder.iterdir()) == []


def test_a_role_that_does_not_exist_is_a_usage_error(receiver: Typed) -> None:
    said = receiver("serve", "--role", "dancer")
    assert said.code == 2
    assert "worker" in said.err


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["settings"], ["keys", "rotate"]])
def test_a_misspelt_setting_is_said_with_the_nearest_right_one(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_ULR", "https://x.example")
    said = receiver(*command)
    assert said.code == 1
    assert "RECEIVER_PUBLIC_ULR (environment) is no setting; did you mean RECEIVER_PUBLIC_URL?" in said.err


def test_settings_shows_each_with_its_meaning_and_no_secret(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("RECEIVER_API_KEYS", KEY)
    monkeypatch.setenv("AIMLAPI_API_KEY", "another-secret")
    (folder / ".env").write_text("RECEIVER_PUBLIC_URL=https://hooks.example\n")
    said = receiver("settings", "--data-dir", "elsewhere")
    assert said.code == 0
    assert KEY not in said.out
    assert "another-secret" not in said.out
    assert "RECEIVER_PUBLIC_URL = https://hooks.example  (.env)\n" in said.out
    assert "RECEIVER_DATA_DIR = elsewhere  (command line, default var)\n" in said.out
    assert "RECEIVER_API_KEYS = [set]  (environment)\n" in said.out
    assert "RUNWARE_API_KEY = (not set)\n" in said.out
    assert "RECEIVER_AIMLAPI_POLL_SECONDS" in said.out
    assert re.search(r"^    after this a submitted task is overdue$", said.out, flags=re.MULTILINE)


def test_settings_as_json_has_the_same_with_names(receiver: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "a-secret")
    said = receiver("settings", "--json")
    found = {setting["name"]: setting for setting in json.loads(said.out)}
    assert found["RUNWARE_API_KEY"]["value"] == "[set]"
    assert found["RECEIVER_DATA_DIR"]["source"] == "default"
    assert all(set(setting) == {"name", "meaning", "default", "value", "source"} for setting in found.values())


def test_migrate_makes_the_database_and_says_its_revision(receiver: Typed, folder: Path) -> None:
    said = receiver("migrate", "--data-dir", "data", "--json")
    revision = json.loads(said.out)["revision"]
    assert said.code == 0
    assert revision
    assert (folder / "data" / "receiver.db").exists()
    assert receiver("migrate", "--data-dir", "data").out == f"The database is at revision {revision}.\n"


def test_new_keys_are_printed_as_settings_and_kept_nowhere(receiver: Typed, folder: Path) -> None:
    said = receiver("keys", "new")
    assert said.code == 0
    assert re.fullmatch(r"RECEIVER_SIGNING_KEYS=\w+:\S{40,}\nRECEIVER_API_KEYS=\w+:\S{32,}\n(#.*\n)+", said.out)
    # Alone it is refused, so it does not go along with the others.
    assert re.search(r"^# RECEIVER_NOTIFY_SECRET=whsec_\S{44}$", said.out, re.MULTILINE)
    made = json.loads(receiver("keys", "new", "--json").out)
    assert made.keys() == {"signing_key", "api_key", "notify_secret"}
    assert list(folder.iterdir()) == []


def test_without_a_signing_key_there_is_nothing_to_rotate(receiver: Typed, folder: Path) -> None:
    said = receiver("keys", "rotate")
    assert said.code == 1
    assert f"nothing to rotate: there is no {folder / 'var' / 'signing_keys'}" in said.err
    assert list(folder.iterdir()) == []


def test_rotating_puts_a_new_signing_key_before_the_old_ones(receiver: Typed, folder: Path) -> None:
    (folder / "var").mkdir(mode=0o700)
    old = folder / "var" / "signing_keys"
    old.write_text(json.loads(receiver("keys", "new", "--json").out)["signing_key"] + "\n")
    old.chmod(0o600)
    first = json.loads(receiver("keys", "rotate", "--json").out)["kid"]
    second = json.loads(receiver("keys", "rotate", "--json").out)["kid"]
    text = (folder / "var" / "signing_keys").read_text()
    names = [part.partition(":")[0] for part in re.split(r"[,\n]", text.strip())]
    assert names[:2] == [second, first]
    assert stat.S_IMODE((folder / "var" / "signing_keys").stat().st_mode) == 0o600
    assert "Signing key k" in receiver("keys", "rotate").out


def test_keys_that_were_set_are_not_rotated(receiver: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = json.loads(receiver("keys", "new", "--json").out)
    monkeypatch.setenv("RECEIVER_SIGNING_KEYS", keys["signing_key"])
    said = receiver("keys", "rotate")
    assert said.code == 1
    assert "RECEIVER_SIGNING_KEYS" in said.err
    assert keys["signing_key"].partition(":")[2] not in said.err
