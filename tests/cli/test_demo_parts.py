import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.demo.children import Child, ChildError, child
from receiver.cli.demo.finale import finale
from receiver.cli.demo.proof import prove
from receiver.cli.demo.scene import Ports, Scene, environment, free_ports, scene, taken
from receiver.cli.failures import CommandError, UsageError
from receiver.sdk import Task
from receiver.sdk.values import task_of
from tests.cli.conftest import Said
from tests.cli.fake_service import AUDIO, TASK_ID, result, succeeded, task

Typed = Callable[..., Said]


NAME = hashlib.sha256(AUDIO).hexdigest()
ERROR = {"code": "x", "message": "y", "retryable": False, "provider_code": None}


def entry(**changes: object) -> dict[str, Any]:
    made = {"id": "p", "sha256": hashlib.sha256(AUDIO).hexdigest(), "bytes": len(AUDIO)}
    return {"provider": "runware", "provider_task_id": TASK_ID, "results": [made], **changes}


def stored(folder: Path, content: bytes = AUDIO) -> Path:
    path = folder / NAME[:2] / f"{NAME}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def problems(folder: Path, *tasks: Task, ledger: object = None) -> tuple[str, ...]:
    return prove(tasks, {"tasks": [entry()] if ledger is None else ledger}, folder).problems


def test_a_task_whose_file_holds_what_the_provider_made_has_no_problem(folder: Path) -> None:
    path = stored(folder)
    proof = prove([task_of(succeeded())], {"tasks": [entry()]}, folder)
    assert proof.problems == ()
    assert [exhibit.file for exhibit in proof.exhibits] == [path]


@pytest.mark.parametrize(
    ("shown", "ledger", "words"),
    [
        (
            task("failed", errors=[{"code": "x", "message": "y", "retryable": False, "provider_code": None}]),
            None,
            "x: y",
        ),
        (succeeded(request={"count": 2}), None, "1 results of 2"),
        (succeeded(), [], "0 times in the ledger"),
        (succeeded(), [entry(), entry()], "2 times in the ledger"),
        (succeeded(), [entry(provider="aimlapi")], "in the ledger"),
        (
            succeeded(),
            [entry(), entry(provider_task_id="other")],
            "the ledger of the providers has 2 tasks, we have 1",
        ),
        (succeeded(), [entry(results=[])], "does not hold the bytes that the provider made"),
        (succeeded(results=[result(artifact={**result()["artifact"], "sha256": "ab" * 32})]), None, "not on disk"),
    ],
    ids=["failed", "too few", "unknown", "twice", "other provider", "one more", "other bytes", "no file"],
)
def test_whatever_is_wrong_is_named(folder: Path, shown: dict[str, Any], ledger: object, words: str) -> None:
    stored(folder)
    assert any(words in problem for problem in problems(folder, task_of(shown), ledger=ledger))


@pytest.mark.parametrize("content", [AUDIO[:-1], AUDIO + b"x", AUDIO[:-1] + b"x", b""])
def test_a_file_with_other_bytes_is_a_problem(folder: Path, content: bytes) -> None:
    stored(folder, content)
    assert any("the task names" in problem for problem in problems(folder, task_of(succeeded())))


def test_the_table_names_each_file_whole_on_a_pipe_and_below_its_folder_on_a_terminal(folder: Path) -> None:
    path = stored(folder)
    exhibits = prove([task_of(succeeded())], {"tasks": [entry()]}, folder).exhibits
    piped = [line.plain for line in finale(exhibits, folder, width=None)]
    narrow = [line.plain for line in finale(exhibits, folder, width=80)]
    assert piped[0].split() == ["task", "provider", "status", "via", "after", "cost", "file"]
    assert piped[1].split() == [TASK_ID, "runware", "succeeded", "callback", "24.1", "s", "$0.15", str(path)]
    assert narrow[1].split() == [TASK_ID, "runware", "succeeded", "callback", "24.1", "s", "$0.15"]
    assert narrow[2] == f"  {NAME[:2]}/{NAME}.mp3"
    assert max(len(line) for line in narrow) <= 80
    middle = [line.plain for line in finale(exhibits, folder, width=120)]
    assert f"{NAME}.mp3" in "".join(middle)
    assert max(len(line) for line in middle) <= 120


def test_a_task_without_a_result_has_its_row_too(folder: Path) -> None:
    exhibits = prove([task_of(task("failed"))], {"tasks": []}, folder).exhibits
    assert finale(exhibits, folder, width=None)[1].plain.split() == [
        TASK_ID,
        "runware",
        "failed",
        "–",
        "–",
        "–",
        "no",
        "file",
    ]


def test_nothing_around_the_demo_reaches_its_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECEIVER_URL", "RECEIVER_DATABASE_URL", "RECEIVER_MISSPELT", "RUNWARE_API_KEY", "OTHER_API_KEY"):
        monkeypatch.setenv(name, "https://user.example")
    monkeypatch.setenv("MUSIC", "kept")
    made = environment(Scene(folder), Ports(sandbox=1, receiver=2))
    assert made["MUSIC"] == "kept"
    assert "https://user.example" not in made.values()
    assert made["RECEIVER_RUNWARE_URL"] == "http://127.0.0.1:1/runware/v1"
    assert made["RECEIVER_PUBLIC_URL"] == "http://127.0.0.1:2"


def test_a_folder_of_somebody_else_is_left_alone(receiver: Typed, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "letter.txt").write_text("dear")
    said = receiver("demo", "--data-dir", "mine")
    assert said.code == 2
    assert "something else than a demo" in said.err
    assert [path.name for path in (folder / "mine").iterdir()] == ["letter.txt"]


def test_a_folder_that_cannot_be_made_is_said_in_a_line(receiver: Typed, folder: Path) -> None:
    (folder / "file").touch()
    said = receiver("demo", "--data-dir", "file/demo")
    assert said.code == 1
    assert said.err.startswith("receiver: the folder of the demo cannot be used")


def test_an_empty_folder_and_one_of_an_earlier_demo_are_taken(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert scene(folder / "empty").folder == folder / "empty"
    assert scene(folder / "empty").folder == folder / "empty"
    with pytest.raises(UsageError):
        scene(folder)


def test_without_a_folder_each_demo_has_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    first, second = scene(None), scene(None)
    assert first.folder != second.folder
    assert first.folder.stat().st_mode & 0o777 == 0o700


def test_two_free_ports_are_two() -> None:
    ports = free_ports()
    assert ports.sandbox != ports.receiver
    assert not taken(ports.sandbox)


async def started(folder: Path, arguments: list[str], ports: Ports, *, seen: list[Child]) -> None:
    """Start a process and fail while it runs."""
    surroundings = environment(Scene(folder), ports)
    async with child(arguments, folder=folder, environment=surroundings, log=folder / "log") as process:
        seen.append(process)
        assert taken(ports.sandbox)
        raise CommandError("mine")


async def test_a_process_that_does_not_start_says_why_and_where_its_log_is(folder: Path) -> None:
    with pytest.raises(ChildError) as caught:
        await started(folder, ["sandbox", "--stall", "2"], free_ports(), seen=[])
    assert "--stall must be a share, 0 to 1" in "".join(caught.value.advice)


async def test_a_process_is_gone_when_its_user_is_whatever_the_reason(folder: Path) -> None:
    ports, seen = free_ports(), list[Child]()
    with pytest.raises(CommandError, match="mine"):
        await started(folder, ["sandbox", "--port", str(ports.sandbox)], ports, seen=seen)
    assert [process.process.returncode for process in seen] == [0]
    assert not taken(ports.sandbox)


async def test_a_process_is_gone_when_its_user_is_cancelled_while_it_starts(folder: Path) -> None:
    ports = free_ports()

    async def use() -> None:
        surroundings = environment(Scene(folder), ports)
        arguments = ["sandbox", "--port", str(ports.sandbox)]
        async with child(arguments, folder=folder, environment=surroundings, log=folder / "log"):
            await asyncio.sleep(60)

    using = asyncio.create_task(use())
    await asyncio.sleep(0.2)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert not taken(ports.sandbox)
