"""Writes infra/env.example from the settings themselves: `python -m tests.infra.env_example`."""

import textwrap
from pathlib import Path

from receiver.providers import PROVIDERS
from receiver.settings import Described, load

EXAMPLE = Path(__file__).resolve().parents[2] / "infra" / "env.example"
_HEAD = """\
# Every setting of the receiver, as `receiver settings` tells it. A line that begins with # is the default; take the #
# away to change it. Read by systemd (EnvironmentFile=), by docker compose (env_file:) and, as .env, by the receiver.
# Secrets are better kept as files of their own: one file each in RECEIVER_SECRETS_DIR, named like the variable.
"""


def described() -> tuple[Described, ...]:
    """Return every setting there is, with its default."""
    nowhere = {"RECEIVER_SECRETS_DIR": "/nonexistent"}
    return load(PROVIDERS.values(), environ=nowhere, env_file=None).described


def render() -> str:
    """Return the whole file."""
    paragraphs = [_HEAD]
    for setting in described():
        meaning = textwrap.fill(setting.meaning, 118, initial_indent="# ", subsequent_indent="# ")
        paragraphs.append(f"{meaning}\n#{setting.name}={setting.default}\n")
    return "\n".join(paragraphs)


if __name__ == "__main__":
    EXAMPLE.write_text(render(), "utf-8")
