"""Where settings come from: secrets folder, ``.env``, environment, command line; and which names are none."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv import dotenv_values

from receiver.lifecycle.ports import ProviderEntry

PREFIX = "RECEIVER_"
#: What Kubernetes puts into the environment of a pod beside a Service named "receiver".
_INJECTED = re.compile(
    r"RECEIVER(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP)(_[A-Z]+)?)?)"
)
#: Read by the commands that speak HTTP and by the fault harness, not by the service's settings.
_BESIDES = frozenset({"RECEIVER_URL", "RECEIVER_API_KEY", "RECEIVER_KILL_AT"})


class SettingsError(Exception):
    """The configuration cannot be used; the message names each setting and what to do."""


def key_of(entry: ProviderEntry) -> str:
    """Return the variable of a provider's key."""
    return f"{entry.name}_API_KEY".upper()


def sources(
    environ: Mapping[str, str] | None, env_file: Path | None, overrides: Mapping[str, str]
) -> list[tuple[str, Mapping[str, str]]]:
    environment = dict(os.environ if environ is None else environ)
    dotenv: dict[str, str] = {}
    if env_file is not None and env_file.is_file():
        dotenv = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    folder = Path(environment.get("RECEIVER_SECRETS_DIR") or dotenv.get("RECEIVER_SECRETS_DIR") or "/run/secrets")
    return [
        ("secrets folder", _secret_files(folder)),
        (str(env_file), dotenv),
        ("environment", environment),
        ("command line", overrides),
    ]


def _secret_files(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        name = path.name.upper()
        if path.is_file() and (name.startswith(PREFIX) or name.endswith("_API_KEY")):
            try:
                found[name] = path.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{path}: cannot be read ({type(error).__name__})") from None
    return found


def misspelt(sources: Sequence[tuple[str, Mapping[str, str]]], known: Mapping[str, object]) -> list[str]:
    problems = []
    allowed = {*known, *_BESIDES}
    for origin, found in sources:
        for name in found:
            if not name.startswith(PREFIX) or name in allowed or _INJECTED.fullmatch(name):
                continue
            nearest = difflib.get_close_matches(name, allowed, n=1, cutoff=0.0)
            problems.append(f"{name} ({origin}) is no setting; did you mean {nearest[0]}?")
    return problems


def nearly_keys(sources: Sequence[tuple[str, Mapping[str, str]]], entries: Sequence[ProviderEntry]) -> list[str]:
    """Name variables that can only be meant as a provider's key: without it that provider takes nothing.

    With them those that begin nearly like ours, letters swapped: nobody else's name does.
    """
    problems = []
    for origin, found in sources:
        for entry in entries:
            beginning, right = f"{entry.name}_".upper(), key_of(entry)
            for name in found:
                is_near = name.startswith(beginning) and name != right
                if is_near and difflib.get_close_matches(name, [right], cutoff=0.75):
                    problems.append(f"{name} ({origin}) is no setting; did you mean {right}?")
        for name in found:
            beginning, line, rest = name.partition("_")
            if line and beginning + line != PREFIX and sorted(beginning + line) == sorted(PREFIX):
                problems.append(f"{name} ({origin}) is no setting; did you mean {PREFIX}{rest}?")
    return problems
