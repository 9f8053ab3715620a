"""`receiver completion`: the scripts, tried in the shells that are here."""

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest
import typer.main

from receiver.cli.application import application
from receiver.domain.task import Status
from tests.cli.conftest import Said

Typed = Callable[..., Said]
_ASK = """
{script}
COMP_WORDS=({words})
COMP_CWORD={at}
COMPREPLY=()
_receiver_completion
echo "${{COMPREPLY[*]}}"
"""


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in ("receiver", *words))
    text = _ASK.format(script=script, words=quoted, at=len(words))
    outcome = subprocess.run(["bash", "-eu", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.stderr == ""
    return outcome.stdout.split()


def test_bash_offers_commands_options_and_providers(receiver: Typed) -> None:
    script = receiver("completion", "bash").out
    assert completed(script, "wa") == ["watch"]
    assert completed(script, "keys", "") == ["new", "rotate", "--help"]
    assert completed(script, "keys", "new", "--") == ["--json", "--help"]
    assert completed(script, "submit", "run") == ["runware"]
    assert completed(script, "submit", "runware", "--pro") == ["--prompt"]
    assert completed(script, "doctor", "--json", "--u") == ["--url"]
    assert completed(script, "completion", "") == ["bash", "zsh", "fish", "--json", "--help"]
    assert "--until-input-ends" not in completed(script, "serve", "--")
    assert completed(script, "nonsense", "") == []


def test_bash_offers_what_an_option_may_be(receiver: Typed) -> None:
    script = receiver("completion", "bash").out
    assert completed(script, "tasks", "--status", "") == list(Status)
    assert completed(script, "tasks", "--json", "--status", "su") == ["submitted", "succeeded"]
    assert completed(script, "tasks", "--provider", "a") == ["aimlapi"]
    assert completed(script, "serve", "--role", "c") == ["callbacks"]
    assert completed(script, "tasks", "--limit", "s") == []
    assert "-l status -x -a 'queued submitted " in receiver("completion", "fish").out


def test_bash_knows_every_command(receiver: Typed) -> None:
    command = typer.main.get_command(application(pretty=False))
    offered = completed(receiver("completion", "bash").out, "")
    assert offered == [*command.commands, "--version", "--help"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_understood_by_its_shell(receiver: Typed, shell: str) -> None:
    said = receiver("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert said.out.isascii()
    assert json.loads(receiver("completion", shell, "--json").out) == {"shell": shell, "script": said.out[:-1]}
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    checked = subprocess.run([program, "-n"], input=said.out, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_another_shell_is_a_usage_error(receiver: Typed) -> None:
    assert receiver("completion", "tcsh").code == 2
