"""README tells everything there is, and what it shows works."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest
import typer.main

from receiver.cli.application import application
from receiver.web import openapi_callbacks
from tests.harness import API_KEY, Stack, free_port, running
from tests.infra.env_example import described
from tests.readme import README, blocks, text, with_settings
from tests.web import interface

ROOT = README.parent
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("readme")) as started:
        yield started


def test_every_setting_is_told_with_its_default_and_meaning() -> None:
    assert text() == with_settings(text()), "make written"
    assert len(described()) > 30


def test_every_route_is_told() -> None:
    served = interface.document()["paths"]
    assert [path for path in served if f"{path}`" not in text() and path != openapi_callbacks.PATH] == []
    changing = [(method.upper(), path) for path, methods in served.items() for method in methods if method != "get"]
    changing.remove(("POST", openapi_callbacks.PATH))
    assert [f"{method} {path}" for method, path in changing if f"`{method} {path}" not in text()] == []


def test_every_command_is_told() -> None:
    command = typer.main.get_command(application(pretty=False))
    assert [name for name in command.commands if not re.search(rf"`(receiver )?{name}\b", text())] == []  # type: ignore[attr-defined]


def test_every_make_target_that_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text(), re.MULTILINE)) <= targets


def test_every_file_that_readme_links_to_is_there() -> None:
    assert [link for link in _LINK.findall(text()) if not (ROOT / link).exists()] == []


def test_every_heading_that_readme_links_to_is_there() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", text(), re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text())) <= headings


def test_every_command_line_in_readme_is_understood() -> None:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines()]
    ours = [shlex.split(line, comments=True) for line in lines if line.startswith("receiver ")]
    assert len(ours) >= 6
    command = typer.main.get_command(application(pretty=False))
    for _, name, *arguments in ours:
        command.commands[name].make_context(name, arguments, resilient_parsing=False)  # type: ignore[attr-defined]


def test_the_shell_lines_for_the_interface_do_what_readme_says(stack: Stack, tmp_path: Path) -> None:
    [block] = [block for block in blocks("sh") if "curl" in block]
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "api_key").write_text(API_KEY)
    block = block.replace("http://127.0.0.1:8080", stack.service.url)
    said = subprocess.run(["bash", "-eu"], input=block, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"status":"queued"' in said.stdout.replace(" ", "")


def test_the_lines_for_ones_own_hands_do_what_readme_says(tmp_path: Path) -> None:
    """What is pasted between the terminals is what the sandbox prints; only the ports are other ones."""
    begin, serve, ask = [block for block in blocks("sh") if "receiver s" in block][:3]
    path, sandbox = begin.strip().splitlines()
    assert path == 'export PATH="$PWD/.venv/bin:$PATH"'
    assert serve.strip() == "receiver serve"
    port = free_port()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with ExitStack() as processes:
        played = processes.enter_context(started([*shlex.split(sandbox), "--port", "0"], tmp_path, environment))
        lines = [played.readline()]
        while lines[-1] and not lines[-1].startswith("What really happened"):
            lines.append(played.readline())
        pasted = dict(
            line.removeprefix("export ").strip().split("=", 1) for line in lines if line.startswith("export ")
        )
        assert "RUNWARE_API_KEY" in pasted
        environment |= {name: value.replace(":8080", f":{port}") for name, value in pasted.items()}
        served = processes.enter_context(started(["receiver", "serve", "--port", str(port)], tmp_path, environment))
        assert "listens" in served.readline()
        environment["RECEIVER_URL"] = f"http://127.0.0.1:{port}"
        said = subprocess.run(
            ["bash", "-eu"], input=ask, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
    assert "told by    1 callback, 0 polls" in said.stdout
    assert [path.suffix for path in (tmp_path / "covers").iterdir()] == [".mp3"]


@contextmanager
def started(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[IO[str]]:
    """Run a command of README in a folder and give what it prints; it is ended in any case."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.terminate()


def test_the_python_lines_do_what_readme_says(stack: Stack, tmp_path: Path) -> None:
    [block] = [block for block in blocks("python") if "Client(" in block]
    assert len([line for line in block.splitlines() if line]) == 10
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "api_key").write_text(API_KEY)
    program = block.replace("http://127.0.0.1:8080", stack.service.url)
    said = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    [path] = tmp_path.glob("*.mp3")
    assert path.name in said.stdout
    [task] = [task for task in stack.tasks() if path.name.startswith(task["id"])]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == task["results"][0]["artifact"]["sha256"]


def test_a_backup_is_made_as_readme_says(stack: Stack, tmp_path: Path) -> None:
    [block] = [block for block in blocks("sh") if "backup.py" in block]
    words = shlex.split(block)
    data = stack.service.environment["RECEIVER_DATA_DIR"]
    words = [sys.executable, *(data if word == "var" else word for word in words[1:])]
    words = [str(tmp_path / "backups") if word == "../receiver-backups" else word for word in words]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    assert list((tmp_path / "backups").iterdir())
