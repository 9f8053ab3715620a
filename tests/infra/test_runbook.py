"""The runbook says only what can be typed: commands, options, files and sections that exist."""

import re
import shlex
from functools import cache

import pytest
from typer.testing import CliRunner

from receiver.cli.application import application
from tests.infra.tools import INFRA

RUNBOOK = (INFRA / "runbook.md").read_text("utf-8")
#: Part of the interface, and of the command line once they are there; then their options are checked as well.
TO_COME = {"stats", "replay", "doctor", "redrive", "endpoints", "watch"}


def typed() -> list[list[str]]:
    """Return the words of every `receiver …` in a block of shell or in the text, without its pipes."""
    blocks = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines = [*(line for line in lines if line.startswith("receiver ")), *re.findall(r"`(receiver [^`]+)`", RUNBOOK)]
    lines += re.findall(r" (receiver submit [^`\n]+)", "\n".join(blocks).replace("\\\n", " "))
    return [shlex.split(re.split(r" [|&]", line)[0], comments=True) for line in lines]


@cache
def help_of(*command: str) -> str | None:
    """Return the help of a command, or None when there is no such command."""
    result = CliRunner().invoke(application(pretty=False), [*command, "--help"])
    return result.output if result.exit_code == 0 else None


@pytest.mark.parametrize("words", {tuple(words[1:]): words for words in typed()}.values(), ids=" ".join)
def test_a_command_of_the_runbook_exists_with_its_options(words: list[str]) -> None:
    command = words[1:3] if words[1] == "keys" else words[1:2]
    told = help_of(*command)
    if told is None:
        assert set(command) <= TO_COME
        pytest.skip(f"{' '.join(words[:2])} is still to come")
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", told), f"{option} of {' '.join(words)}"


def test_every_link_of_the_runbook_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", RUNBOOK, flags=re.MULTILINE)
    anchors = {f"#{title.lower().replace(' ', '-')}" for title in titles}
    links = re.findall(r"\]\(([^)]+)\)", RUNBOOK)
    assert len(links) > 10
    assert [link for link in links if link not in anchors and not (INFRA / link).exists()] == []


def test_every_setting_that_is_named_exists() -> None:
    known = set(re.findall(r"^#(\w+)=", (INFRA / "env.example").read_text("utf-8"), flags=re.MULTILINE))
    named = {
        name
        for path in (INFRA / "runbook.md", INFRA / "compose.yaml", INFRA / "Caddyfile", INFRA / "Caddyfile.api")
        for name in re.findall(r"\b(?:RECEIVER_[A-Z_]+[A-Z]|[A-Z]+_API_KEY)\b", path.read_text("utf-8"))
    }
    assert named
    assert named - known == set()
