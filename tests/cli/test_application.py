import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from receiver.cli import options
from receiver.cli.application import application
from receiver.cli.failures import CommandError
from tests.cli.conftest import Said

Typed = Callable[..., Said]
START = ["demo", "serve", "sandbox"]
WORK = [
    "submit",
    "tasks",
    "task",
    "watch",
    "cancel",
    "refresh",
    "adopt",
    "replay",
    "erase",
    "stats",
    "deliveries",
    "redrive",
]
COMMANDS = [*START, *WORK, "doctor", "drill", "settings", "migrate", "completion", "endpoints", "keys"]
FAMILIES = {"endpoints": ["list", "add", "test", "pause", "resume", "rotate", "remove"], "keys": ["new", "rotate"]}
LEAVES = [name for name in COMMANDS if name not in FAMILIES]
LEAVES += [f"{name} {below}" for name, family in FAMILIES.items() for below in family]
HEAVY = {
    "alembic",
    "asyncio",
    "httpx",
    "obstore",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
}


def test_help_names_every_command(receiver: Typed) -> None:
    said = receiver("--help")
    assert said.code == 0
    assert said.err == ""
    named = re.findall(r"^  ([a-z]+)  ", said.out, flags=re.MULTILINE)
    assert named == COMMANDS


def test_help_on_a_pipe_is_plain_and_fits_80_columns(receiver: Typed) -> None:
    for name in ["", *COMMANDS, *LEAVES]:
        said = receiver(*name.split(), "--help")
        assert said.code == 0
        assert said.out.isascii()
        assert "\x1b" not in said.out
        assert max(len(line) for line in said.out.splitlines()) <= 80
        assert "..." not in said.out.replace("[ARGS]...", "").replace("[ID]...", "")


def test_help_on_a_terminal_holds_the_same_options() -> None:
    outcome = CliRunner().invoke(application(pretty=True), ["submit", "--help"], env={"COLUMNS": "100"})
    assert outcome.exit_code == 0
    assert {"--prompt", "--audio", "--wait", "--out", "--url"} <= set(re.findall(r"--[a-z-]+", outcome.output))


def test_help_of_submit_names_its_argument_as_it_is_typed(receiver: Typed) -> None:
    text = receiver("submit", "--help").out
    assert text.startswith("Usage: receiver submit [OPTIONS] PROVIDER\n")
    assert re.search(r"^  PROVIDER  runware or aimlapi\.", text, flags=re.MULTILINE)


def test_no_command_at_all_shows_the_help_as_a_usage_error(receiver: Typed) -> None:
    said = receiver()
    assert said.code == 2
    assert said.out == receiver("--help").out


def test_the_version_is_that_of_the_package(receiver: Typed) -> None:
    assert receiver("--version") == Said(0, f"receiver {version('receiver')}\n", "")


@pytest.mark.parametrize("name", ["tusk", "\x1b]0;x\x07"])
def test_an_unknown_command_says_which_exist(receiver: Typed, name: str) -> None:
    said = receiver(name)
    assert said.code == 2
    assert said.out == ""
    assert f"there are: {', '.join(COMMANDS)}\n" in said.err
    assert said.err.replace("\n", "").isprintable()


def test_a_misspelt_command_is_guessed(receiver: Typed) -> None:
    assert "Did you mean 'tasks'" in receiver("taks").err


@pytest.mark.parametrize("command", LEAVES)
def test_an_unknown_option_is_a_usage_error_that_names_the_help(receiver: Typed, command: str) -> None:
    said = receiver(*command.split(), "--nonsense")
    assert said.code == 2
    assert said.out == ""
    assert "--nonsense" in said.err
    assert f"see `receiver {command} --help`" in said.err


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_offers_json(receiver: Typed, command: str) -> None:
    assert "--json" in receiver(*command.split(), "--help").out


def test_no_command_is_asynchronous_for_typer_would_silently_not_run_it() -> None:
    app = application(pretty=False)
    commands = [*app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        commands += group.typer_instance.registered_commands
    callbacks = [command.callback for command in commands]
    assert len(callbacks) == len(LEAVES)
    assert [callback for callback in callbacks if inspect.iscoroutinefunction(callback)] == []


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from receiver.cli.application import run; code = run(['--help']); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(code)"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert set(outcome.stderr.split()) & HEAVY == set()
    assert "typer" in outcome.stderr.split()


class SurprisingError(Exception):
    """Nobody expected it."""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_what_nobody_expected_is_one_line_without_its_text_and_without_a_traceback(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    def broken(*_: object) -> None:
        raise SurprisingError("a secret")

    monkeypatch.setenv("RECEIVER_LOG_LEVEL", level)
    monkeypatch.setattr(options, "pairs", broken)
    said = receiver("tasks")
    assert said.code == 1
    assert said.out == ""
    assert re.fullmatch(
        r"receiver: something unexpected went wrong: SurprisingError at receiver/cli/tasks\.py line \d+\n", said.err
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (ExceptionGroup("x", [ExceptionGroup("y", [CommandError("why")])]), "why"),
        (BaseExceptionGroup("x", [KeyboardInterrupt()]), "interrupted"),
    ],
    ids=["ctrl-c", "a group of one", "a group with an interruption"],
)
def test_however_a_command_ends_it_is_said_in_a_line(
    receiver: Typed, monkeypatch: pytest.MonkeyPatch, error: BaseException, words: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(options, "pairs", broken)
    said = receiver("tasks")
    assert said.code == 1
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", ["sandbox --help", "settings", "settings --json"])
def test_a_reader_that_went_away_ends_a_command_without_a_word(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        outcome = subprocess.run(
            [sys.executable, "-m", "receiver", *command.split()],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)
    assert (outcome.returncode, outcome.stderr) == (141, "")


def test_an_old_terminal_gets_escapes_instead_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    outcome = subprocess.run(
        [sys.executable, "-m", "receiver", "sandbox", "--only", "é"],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 2
    assert "--only must be one of runware, aimlapi" in outcome.stderr


def test_json_before_the_command_is_told_where_it_belongs(receiver: Typed) -> None:
    said = receiver("--json", "tasks", "--limit", "3")
    assert said.code == 2
    assert said.err == "receiver: put --json after the command: receiver tasks --limit 3 --json\n"
